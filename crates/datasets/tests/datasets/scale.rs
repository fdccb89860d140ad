//! Large manifests: read as a stream, in seconds and well under a gigabyte.

use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use regulus_datasets::manifest::{ManifestFormat, read_from};
use regulus_datasets::protocol::Protocol;

/// A manifest of `rows` rows that is made while it is read.
struct Manifest {
    format: ManifestFormat,
    rows: usize,
    next: usize,
    pending: Vec<u8>,
}

impl Manifest {
    fn new(format: ManifestFormat, rows: usize) -> Self {
        let header = if format == ManifestFormat::Csv { "path,label,split,domain\n" } else { "" };
        Self { format, rows, next: 0, pending: header.into() }
    }
}

impl Read for Manifest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.pending.len() < buffer.len() && self.next < self.rows {
            let number = self.next;
            let (class, split) =
                (number % 1000, if (number / 1000).is_multiple_of(20) { "test" } else { "train" });
            let path = format!("images/{split}/class_{class:04}/photograph_{number:08}.jpg");
            let row = match self.format {
                ManifestFormat::Csv => format!("{path},class_{class:04},{split},photo\n"),
                ManifestFormat::JsonLines => format!(
                    "{{\"path\": \"{path}\", \"label\": \"class_{class:04}\", \"split\": \"{split}\", \"domain\": \"photo\"}}\n"
                ),
            };
            self.pending.extend(row.into_bytes());
            self.next += 1;
        }
        let length = buffer.len().min(self.pending.len());
        buffer[..length].copy_from_slice(&self.pending[..length]);
        self.pending.drain(..length);
        Ok(length)
    }
}

fn read(format: ManifestFormat, rows: usize) {
    let before = peak_kilobytes();
    let started = Instant::now();
    let listing = read_from(Manifest::new(format, rows), format, Path::new("list")).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let read = peak_kilobytes();
    let duplicates = listing.duplicates(false).unwrap();
    let both = started.elapsed().as_secs_f64();
    println!(
        "{format:?}, {rows} rows: read in {seconds:.2} s, with duplicates by path {both:.2} s; \
         peak memory in kB {before:?} before, {read:?} after reading, {:?} after both",
        peak_kilobytes()
    );
    let planned = Instant::now();
    let task = Protocol::FewShot { shots: 16 }.plan(&listing, &[], 1).unwrap();
    assert_eq!(task.train.images.len(), 16 * 1000);
    println!("  16 shots of each class: {:.2} s", planned.elapsed().as_secs_f64());
    assert_eq!(listing.len(), rows);
    assert_eq!(listing.classes.len(), 1000);
    assert_eq!(listing.split("test").unwrap().len(), rows / 20);
    assert!(duplicates.is_empty());
    if let Some(peak) = peak_kilobytes() {
        assert!(peak < 1_000_000, "{peak} kB");
    }
}

/// The most memory that this process has used, where the system tells.
fn peak_kilobytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_manifest_of_20_000_rows() {
    read(ManifestFormat::Csv, 20_000);
    read(ManifestFormat::JsonLines, 20_000);
}

/// Run alone: `cargo test -p regulus-datasets --test datasets a_million -- --ignored --nocapture`.
#[test]
#[ignore = "takes seconds and measures the memory of the whole process"]
fn a_million_rows_of_csv() {
    read(ManifestFormat::Csv, 1_000_000);
}

/// As [`a_million_rows_of_csv`].
#[test]
#[ignore = "takes seconds and measures the memory of the whole process"]
fn a_million_rows_of_json() {
    read(ManifestFormat::JsonLines, 1_000_000);
}
