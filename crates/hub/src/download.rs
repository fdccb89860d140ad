//! Bringing one file to this disk: in parts if need be, over connections that break.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::cache::{size, write_whole};
use crate::client::{Ask, Client, Reply};
use crate::error::{AtPath, FetchError};
use crate::space;
use crate::watch::{Event, Watch};

/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// A file to download.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client<'a>,
    pub(crate) url: Address,
    /// Whether it comes from the hub. The name of a partial file says there what it is a part of; of others, the ETag
    /// is kept beside it.
    pub(crate) of_hub: bool,
    /// The name to show.
    pub(crate) name: &'a str,
    /// Where it grows.
    pub(crate) partial: PathBuf,
    /// Its size, where that is known beforehand.
    pub(crate) size: Option<u64>,
}

impl Download<'_> {
    /// Brings all of the file to `partial` and verifies it with `accept`, which removes it if its contents are wrong.
    /// They may be so because of the part that an earlier run has left: then everything is downloaded once more.
    /// What `accept` says, and the number of bytes that were downloaded.
    pub(crate) fn verified<T>(
        &self,
        watch: &mut Watch<'_>,
        accept: impl Fn(&mut Watch<'_>) -> Result<T, FetchError>,
    ) -> Result<(T, u64), FetchError> {
        let inherited = size(&self.partial).is_some_and(|bytes| bytes > 0);
        let mut downloaded = self.complete(watch)?;
        let accepted = match accept(watch) {
            Err(FetchError::WrongHash { .. }) if inherited => {
                watch.notice(&format!(
                    "the part of {} that was there is of something else: once more",
                    self.name
                ));
                downloaded += self.complete(watch)?;
                accept(watch)?
            }
            settled => settled?,
        };
        Ok((accepted, downloaded))
    }

    /// Brings all of the file to `partial`; the number of bytes that were downloaded.
    fn complete(&self, watch: &mut Watch<'_>) -> Result<u64, FetchError> {
        let mut downloaded = 0;
        self.client.patiently(watch, |watch| self.attempt(&mut downloaded, watch))?;
        Ok(downloaded)
    }

    fn attempt(&self, downloaded: &mut u64, watch: &mut Watch<'_>) -> Result<(), FetchError> {
        watch.check(Some(&self.partial))?;
        let mut options = File::options();
        let mut file =
            options.create(true).write(true).truncate(false).open(&self.partial).at(&self.partial)?;
        let etag = self.known_etag();
        let mut have = self.usable(&file, etag.as_deref())?;
        if self.size == Some(have) {
            return Ok(());
        }
        let mut reply = self.ask(have, etag.as_deref())?;
        if have > 0 && !continues(&reply, have, self.size) {
            file.set_len(0).at(&self.partial)?;
            have = 0;
            if reply.status != 200 {
                reply = self.ask(0, None)?;
            }
        }
        if have == 0 {
            self.check_begun(&reply)?;
        }
        let total = self.total(&reply, have)?;
        if let (Some(total), Some(folder)) = (total, self.partial.parent()) {
            space::check(folder, total - have)?;
        }
        file.seek(SeekFrom::Start(have)).at(&self.partial)?;
        let mut counted = Counted { file, bytes: downloaded };
        self.append(&mut counted, reply, have, total, watch)
    }

    fn ask(&self, from: u64, etag: Option<&str>) -> Result<Reply, FetchError> {
        self.client.get(&Ask { url: &self.url, of_hub: self.of_hub, from, etag })
    }

    /// Bytes of the partial file that can be kept; the others are thrown away.
    fn usable(&self, file: &File, etag: Option<&str>) -> Result<u64, FetchError> {
        let have = file.metadata().at(&self.partial)?.len();
        let too_many = self.size.is_some_and(|size| have > size);
        let of_what = self.of_hub || etag.is_some();
        if have > 0 && (too_many || !of_what) {
            file.set_len(0).at(&self.partial)?;
            return Ok(0);
        }
        Ok(have)
    }

    /// A download from the beginning: the answer is all of the file, and what it is a version of is noted.
    fn check_begun(&self, reply: &Reply) -> Result<(), FetchError> {
        if reply.status != 200 {
            let reason =
                format!("the whole file was asked for, and the server answers {}", reply.status.as_u16());
            return Err(FetchError::Answer { url: self.url.clone(), reason });
        }
        if self.of_hub {
            return Ok(());
        }
        match reply.strong_etag() {
            Some(etag) => write_whole(&self.etag_path(), etag.as_bytes()),
            None => self.forget_etag(),
        }
    }

    fn total(&self, reply: &Reply, have: u64) -> Result<Option<u64>, FetchError> {
        let announced = reply.length().map(|length| length.saturating_add(have));
        match (self.size, announced) {
            (Some(size), Some(announced)) if size != announced => {
                let reason =
                    format!("the server has {announced} bytes of {}, and {size} are expected", self.name);
                Err(FetchError::Answer { url: self.url.clone(), reason })
            }
            (size, announced) => Ok(size.or(announced)),
        }
    }

    fn append(
        &self,
        file: &mut Counted<'_>,
        reply: Reply,
        mut have: u64,
        total: Option<u64>,
        watch: &mut Watch<'_>,
    ) -> Result<(), FetchError> {
        let truncated =
            |done| FetchError::Truncated { url: self.url.clone(), path: self.partial.clone(), done, total };
        let mut contents = reply.contents();
        let mut buffer = vec![0; PIECE];
        loop {
            (watch.tell)(Event::Progress { file: self.name, done: have, total });
            watch.check(Some(&self.partial))?;
            let amount = contents.next(&mut buffer).map_err(|error| match error {
                FetchError::Unreachable { .. } => truncated(have),
                other => other,
            })?;
            if amount == 0 {
                break;
            }
            let after = have + amount as u64;
            if total.is_some_and(|total| after > total) {
                let reason = format!("the server sends more of {} than it announced", self.name);
                return Err(FetchError::Answer { url: self.url.clone(), reason });
            }
            let left = total.map_or(amount as u64, |total| total - have);
            file.write(&buffer[..amount])
                .map_err(|source| FetchError::of_disk(&self.partial, left, source))?;
            have = after;
        }
        if total.is_some_and(|total| have < total) {
            return Err(truncated(have));
        }
        file.file.sync_all().map_err(|source| FetchError::of_disk(&self.partial, 0, source))
    }

    fn etag_path(&self) -> PathBuf {
        self.partial.with_added_extension("etag")
    }

    fn known_etag(&self) -> Option<String> {
        if self.of_hub { None } else { fs::read_to_string(self.etag_path()).ok() }
    }

    /// Forgets of what version a partial file is, for it is none any more.
    pub(crate) fn forget_etag(&self) -> Result<(), FetchError> {
        remove(&self.etag_path())
    }
}

/// A file that grows, and how much it does.
struct Counted<'a> {
    file: File,
    bytes: &'a mut u64,
}

impl Counted<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        *self.bytes += piece.len() as u64;
        Ok(())
    }
}

/// Whether an answer begins where the partial file ends, and belongs to the same file.
fn continues(reply: &Reply, have: u64, size: Option<u64>) -> bool {
    let same_size = |full: Option<u64>| size.zip(full).is_none_or(|(size, full)| size == full);
    reply.status == 206 && reply.range().is_some_and(|(first, full)| first == have && same_size(full))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}
