//! Brings a cache file up to date: what is still right is kept, the rest is decoded, and the new file takes the place of
//! the old one when it is complete.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use regulus_images::{DecodeError, Preprocess};

use super::layout::{Key, Layout, Row, Table};
use super::map::MappedFile;
use super::stamp::Stamp;
use super::{CacheError, CacheReport, bits_of};
use crate::loader::pipeline::Pipeline;
use crate::loader::{FaultCause, ImageFault, Source, Workers};

/// Bytes of squares that are decoded before they are written.
const AT_ONCE: usize = 16 << 20;

/// Told how many images more are done.
pub type Tick<'a> = &'a (dyn Fn(usize) + Sync);

/// Opens the file at `path`, or builds it.
pub(super) fn up_to_date(
    path: &Path,
    source: &Arc<dyn Source>,
    preprocess: &Preprocess,
    layout: &Layout,
    key: &Key,
    workers: &Workers,
    tick: Tick<'_>,
) -> Result<(Opened, CacheReport), CacheError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(CacheError::io("make the folder", folder))?;
    }
    let stamps = workers.install(|| {
        let stamp = |index| Stamp::of(&source.place(index).path);
        (0..layout.stored).into_par_iter().map(stamp).collect::<Vec<_>>()
    });
    if let Some(done) = current(path, source.len(), layout, key, &stamps) {
        tick(source.len());
        return Ok(done);
    }
    let lock = beside(path, "lock");
    let held = File::options().write(true).create(true).truncate(false).open(&lock);
    // Released when it is closed, however this process ends.
    let held = held.map_err(CacheError::io("open", &lock))?;
    held.lock().map_err(CacheError::io("lock", &lock))?;
    // Another process may have built it meanwhile.
    if let Some(done) = current(path, source.len(), layout, key, &stamps) {
        tick(source.len());
        return Ok(done);
    }
    let partial = beside(path, "part");
    let (table, mut report) = {
        let old = Opened::unchanged(path, key, &stamps);
        let pipeline = Pipeline::of_squares(source, preprocess);
        let store = Store { pipeline: &pipeline, stamps: &stamps, old: old.as_ref() };
        let built = workers.install(|| store.write(&partial, layout, key, tick));
        built
            .inspect_err(|_| drop(std::fs::remove_file(&partial)))
            .map_err(CacheError::io("write", &partial))?
    };
    std::fs::rename(&partial, path).map_err(CacheError::io("replace", path))?;
    let file = MappedFile::open(path).map_err(CacheError::io("map", path))?;
    report.images = source.len();
    report.bytes = file.bytes().len() as u64;
    Ok((Opened { file, table }, report))
}

/// A file beside the cache.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The file at `path`, if nothing has to be done to it.
fn current(
    path: &Path,
    images: usize,
    layout: &Layout,
    key: &Key,
    stamps: &[Option<Stamp>],
) -> Option<(Opened, CacheReport)> {
    let file = MappedFile::open(path).ok()?;
    let table = Table::read(file.bytes(), key)?;
    let fresh = |(row, stamp): (&Option<Row>, &Option<Stamp>)| match (row, stamp) {
        (Some(row), Some(stamp)) => row.stamp == *stamp,
        // A file that was not there, or had changed a moment before, and is so still.
        (None, None) => true,
        _ => false,
    };
    if table.layout != *layout || !table.rows.iter().zip(stamps).all(fresh) {
        return None;
    }
    let rows = || table.rows.iter().flatten();
    let cached = rows().filter(|row| row.sum.is_some()).count();
    let (faults, bytes) = (rows().count() - cached, file.bytes().len() as u64);
    let report = CacheReport { images, cached, kept: cached, decoded: 0, faults, bytes };
    Some((Opened { file, table }, report))
}

/// A file and its rows.
pub(super) struct Opened {
    pub file: MappedFile,
    pub table: Table,
}

impl Opened {
    /// What can be taken over from the file that is there: rows of images that have not changed.
    fn unchanged(path: &Path, key: &Key, stamps: &[Option<Stamp>]) -> Option<Self> {
        let file = MappedFile::open(path).ok()?;
        let mut table = Table::read(file.bytes(), key)?;
        for (row, stamp) in table.rows.iter_mut().zip(stamps) {
            *row = row.filter(|row| Some(row.stamp) == *stamp);
        }
        Some(Self { file, table })
    }

    /// An undamaged square.
    fn square(&self, index: usize) -> Option<&[u8]> {
        let (bytes, sum) = self.table.square(self.file.bytes(), index)?;
        (crc32fast::hash(bytes) == sum).then_some(bytes)
    }
}

/// Where a square came from.
enum Outcome {
    Kept(Row),
    Decoded(Row),
    /// The file has changed a moment ago, or cannot be read now: the square is not stored.
    Unsettled,
    Fault(Row),
}

/// What a file is made of.
struct Store<'a> {
    pipeline: &'a Pipeline,
    stamps: &'a [Option<Stamp>],
    old: Option<&'a Opened>,
}

impl Store<'_> {
    /// Writes a whole file, in parallel on the current pool.
    fn write(
        &self,
        path: &Path,
        layout: &Layout,
        key: &Key,
        tick: Tick<'_>,
    ) -> io::Result<(Table, CacheReport)> {
        let beyond = || io::Error::other("the file would be too long");
        let mut table = Table::empty(*layout);
        let mut report = CacheReport::default();
        let mut file = File::create(path)?;
        file.set_len(layout.length().ok_or_else(beyond)?)?;
        file.seek(SeekFrom::Start(layout.start().ok_or_else(beyond)?))?;
        let at_once = (AT_ONCE / layout.square.max(1)).max(1);
        let mut squares = vec![0; at_once.min(layout.stored) * layout.square];
        for first in (0..layout.stored).step_by(at_once) {
            let count = at_once.min(layout.stored - first);
            let squares = &mut squares[..count * layout.square];
            let outcomes: Vec<Outcome> = squares
                .par_chunks_exact_mut(layout.square)
                .enumerate()
                .with_max_len(1)
                .map(|(at, out)| {
                    let outcome = self.square(first + at, out);
                    tick(1);
                    outcome
                })
                .collect();
            for (row, outcome) in table.rows[first..].iter_mut().zip(outcomes) {
                match outcome {
                    Outcome::Kept(kept) => (*row, report.kept) = (Some(kept), report.kept + 1),
                    Outcome::Decoded(decoded) => (*row, report.decoded) = (Some(decoded), report.decoded + 1),
                    Outcome::Fault(fault) => (*row, report.faults) = (Some(fault), report.faults + 1),
                    Outcome::Unsettled => {}
                }
            }
            file.write_all(squares)?;
        }
        report.cached = report.kept + report.decoded;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&table.write(key))?;
        file.sync_all()?;
        Ok((table, report))
    }

    /// Writes the square of image `index` to `out`.
    fn square(&self, index: usize, out: &mut [u8]) -> Outcome {
        let Some(stamp) = self.stamps.get(index).copied().flatten() else { return Outcome::Unsettled };
        if let Some(old) = self.old {
            let row = old.table.rows.get(index).copied().flatten();
            if let Some(row @ Row { sum: None, .. }) = row {
                return Outcome::Fault(row);
            }
            if let (Some(row), Some(square)) = (row, old.square(index)) {
                out.copy_from_slice(square);
                return Outcome::Kept(row);
            }
        }
        match self.pipeline.square(index, out) {
            Ok(oddities) => {
                let (sum, oddities) = (Some(crc32fast::hash(out)), bits_of(&oddities));
                Outcome::Decoded(Row { stamp, sum, oddities })
            }
            // It may be readable the next time.
            Err(ImageFault { cause: FaultCause::Decode(DecodeError::Unreadable(_)), .. }) => {
                Outcome::Unsettled
            }
            Err(_) => Outcome::Fault(Row { stamp, sum: None, oddities: 0 }),
        }
    }
}
