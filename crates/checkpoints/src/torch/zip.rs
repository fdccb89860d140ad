//! Where the entries of a zip archive lie.
//!
//! Only what a stored entry needs: the directory at the end of the file (also in its 64-bit form), and the
//! header before each entry. Nothing is searched but the last 64 KiB, nothing is decompressed, and the whole is a
//! walk over borrowed bytes. A general zip library would do much more, and its dependencies would change the
//! features of crates below Burn.

use crate::error::Fault;
use std::collections::BTreeMap;
use std::ops::Range;

const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const END_64_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

const END_LENGTH: usize = 22;
const END_64_LOCATOR_LENGTH: usize = 20;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;

/// Marks a number that stands in the 64-bit extension.
const IN_EXTENSION: u32 = u32::MAX;
const EXTENSION_64: u16 = 1;
const ENCRYPTED: u16 = 1;

/// The entries of an archive by name.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    file: &'a [u8],
    entries: BTreeMap<&'a str, Entry>,
}

#[derive(Debug)]
struct Entry {
    flags: u16,
    /// 0 means stored.
    method: u16,
    size: u64,
    compressed_size: u64,
    /// Position of the header before the data.
    header: u64,
}

impl<'a> Directory<'a> {
    /// Reads the directory of the archive `file`.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, Fault> {
        let end = find_end(file).ok_or("its directory at the end is missing; is the file cut off?")?;
        let (count, start, limit) = match end_64(file, end)? {
            Some(found) => found,
            None => {
                let count = u16_at(file, end + 10).ok_or("its end record is cut off")?;
                let start = u32_at(file, end + 16).ok_or("its end record is cut off")?;
                (count.into(), start.into(), end)
            }
        };
        let mut rest = usize::try_from(start)
            .ok()
            .and_then(|start| file.get(start..limit))
            .ok_or("its directory lies outside of the file")?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry) = central_entry(&mut rest).ok_or("its directory is damaged")?;
            if entries.insert(name, entry).is_some() {
                return Err(format!("two entries are called {name:?}").into());
            }
        }
        Ok(Self { file, entries })
    }

    /// The names of all entries, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// Where the bytes of an entry lie in the file; `None` if there is no such entry. It must be stored as it is.
    pub(super) fn find(&self, name: &str) -> Result<Option<Range<usize>>, Fault> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if entry.flags & ENCRYPTED != 0 {
            return Err(Fault::Unsupported(format!("the entry {name:?} is encrypted; unpack it first")));
        }
        if entry.method != 0 || entry.size != entry.compressed_size {
            return Err(Fault::Unsupported(format!(
                "the entry {name:?} is compressed, which torch does not do; load and save it again with PyTorch"
            )));
        }
        let range = self.data(name, entry);
        Ok(Some(range.ok_or_else(|| format!("the entry {name:?} does not lie where the directory says"))?))
    }

    fn data(&self, name: &str, entry: &Entry) -> Option<Range<usize>> {
        let header = self.file.get(usize::try_from(entry.header).ok()?..)?;
        let name_length = usize::from(u16_at(header, 26)?);
        let found = header.get(LOCAL_LENGTH..LOCAL_LENGTH + name_length)?;
        if !header.starts_with(&LOCAL) || found != name.as_bytes() {
            return None;
        }
        let skipped = LOCAL_LENGTH + name_length + usize::from(u16_at(header, 28)?);
        let start = self.file.len() - header.len() + skipped;
        let end = start.checked_add(usize::try_from(entry.size).ok()?)?;
        (end <= self.file.len()).then_some(start..end)
    }
}

/// Position of the end record: the last one whose comment ends with the file.
fn find_end(file: &[u8]) -> Option<usize> {
    let last = file.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(u16::MAX.into());
    (first..=last).rev().find(|&at| {
        file.get(at..at + END.len()) == Some(&END)
            && u16_at(file, at + 20)
                .is_some_and(|comment| at + END_LENGTH + usize::from(comment) == file.len())
    })
}

/// Number of entries, and start and limit of the directory, if the 64-bit records before `end` tell.
fn end_64(file: &[u8], end: usize) -> Result<Option<(u64, u64, usize)>, Fault> {
    let locator = end.checked_sub(END_64_LOCATOR_LENGTH).and_then(|at| file.get(at..end));
    let Some(locator) = locator.filter(|locator| locator.starts_with(&END_64_LOCATOR)) else {
        return Ok(None);
    };
    let found = || {
        let at = usize::try_from(u64_at(locator, 8)?).ok()?;
        let record = file.get(at..end)?;
        if !record.starts_with(&END_64) {
            return None;
        }
        Some((u64_at(record, 32)?, u64_at(record, 48)?, at))
    };
    Ok(Some(found().ok_or("its 64-bit end record is damaged")?))
}

/// The next entry of the directory.
fn central_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Entry)> {
    let bytes = *rest;
    if !bytes.starts_with(&CENTRAL) {
        return None;
    }
    let length = |at| u16_at(bytes, at).map(usize::from);
    let name_end = CENTRAL_LENGTH + length(28)?;
    let extra_end = name_end + length(30)?;
    *rest = bytes.get(extra_end + length(32)?..)?;
    let name = std::str::from_utf8(bytes.get(CENTRAL_LENGTH..name_end)?).ok()?;
    let mut extension = extension_64(bytes.get(name_end..extra_end)?);
    // Which of the numbers the extension holds shows in their 32-bit forms; their order is fixed.
    let mut number = |at| match u32_at(bytes, at)? {
        IN_EXTENSION => {
            let (value, others) = extension.split_first_chunk()?;
            extension = others;
            Some(u64::from_le_bytes(*value))
        }
        small => Some(small.into()),
    };
    let size = number(24)?;
    let compressed_size = number(20)?;
    let header = number(42)?;
    let entry = Entry { flags: u16_at(bytes, 8)?, method: u16_at(bytes, 10)?, size, compressed_size, header };
    Some((name, entry))
}

/// The 64-bit extension among the extra fields; empty if there is none.
fn extension_64(mut fields: &[u8]) -> &[u8] {
    while let (Some(kind), Some(length)) = (u16_at(fields, 0), u16_at(fields, 2)) {
        let Some((field, others)) = fields.get(4..).and_then(|rest| rest.split_at_checked(length.into()))
        else {
            break;
        };
        if kind == EXTENSION_64 {
            return field;
        }
        fields = others;
    }
    &[]
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
