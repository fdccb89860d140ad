//! Brings a cache file up to date: what is still right is kept, the rest is decoded, and the new file takes the place of
//! the old one when it is complete.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use regulus_images::Preprocess;

use super::layout::{Key, Layout, Row, Table};
use super::map::MappedFile;
use super::stamp::Stamp;
use super::{CacheError, CacheReport};
use crate::loader::gate::Gate;
use crate::loader::pipeline::Pipeline;
use crate::loader::stages::Stages;
use crate::loader::{Source, View, Workers};

/// Bytes of squares that are decoded before they are written.
const AT_ONCE: usize = 16 << 20;
/// Bytes of originals that are decoded at the same time.
const ORIGINALS: u64 = 256 << 20;

/// Opens the file at `path`, or builds it.
pub(super) fn up_to_date(
    path: &Path,
    source: &Arc<dyn Source>,
    preprocess: &Preprocess,
    layout: &Layout,
    key: &Key,
    workers: &Workers,
) -> Result<(Opened, CacheReport), CacheError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(CacheError::io("make the folder", folder))?;
    }
    let stamps = workers.install(|| {
        let stamp = |index| Stamp::of(&source.place(index).path);
        (0..layout.stored).into_par_iter().map(stamp).collect::<Vec<_>>()
    });
    if let Some(done) = current(path, source.len(), layout, key, &stamps) {
        return Ok(done);
    }
    let lock = beside(path, "lock");
    let held = File::options().write(true).create(true).truncate(false).open(&lock);
    // Released when it is closed, however this process ends.
    let held = held.map_err(CacheError::io("open", &lock))?;
    held.lock().map_err(CacheError::io("lock", &lock))?;
    // Another process may have built it meanwhile.
    if let Some(done) = current(path, source.len(), layout, key, &stamps) {
        return Ok(done);
    }
    let partial = beside(path, "part");
    let (table, mut report) = {
        let old = Opened::unchanged(path, key, &stamps);
        let pipeline = Pipeline {
            source: Arc::clone(source),
            preprocess: preprocess.clone(),
            view: View::Square,
            cache: None,
            gate: Gate::new(ORIGINALS),
            stages: Stages::default(),
            stopped: AtomicBool::new(false),
        };
        let built = workers.install(|| write(&partial, &pipeline, layout, key, &stamps, old.as_ref()));
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
    /// The file has changed a moment ago: the square is not stored.
    Unsettled,
    Fault(Row),
}

/// Writes a whole file, in parallel on the current pool.
fn write(
    path: &Path,
    pipeline: &Pipeline,
    layout: &Layout,
    key: &Key,
    stamps: &[Option<Stamp>],
    old: Option<&Opened>,
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
                let index = first + at;
                store(pipeline, index, stamps.get(index).copied().flatten(), old, out)
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
fn store(
    pipeline: &Pipeline,
    index: usize,
    stamp: Option<Stamp>,
    old: Option<&Opened>,
    out: &mut [u8],
) -> Outcome {
    let Some(stamp) = stamp else { return Outcome::Unsettled };
    if let Some(old) = old {
        let row = old.table.rows.get(index).copied().flatten();
        if let Some(row @ Row { sum: None, .. }) = row {
            return Outcome::Fault(row);
        }
        if let (Some(row), Some(square)) = (row, old.square(index)) {
            out.copy_from_slice(square);
            return Outcome::Kept(row);
        }
    }
    match pipeline.square(index) {
        Ok(square) if square.pixels.len() == out.len() => {
            out.copy_from_slice(&square.pixels);
            Outcome::Decoded(Row { stamp, sum: Some(crc32fast::hash(out)) })
        }
        _ => Outcome::Fault(Row { stamp, sum: None }),
    }
}
