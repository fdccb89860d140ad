//! The cache of squares: never another pixel than the source gives, whatever happens to files and cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use regulus_datasets::loader::{
    Batch, CacheError, CacheReport, Loader, LoaderError, LoaderOptions, Source, SquareCache, View, Workers,
};
use regulus_datasets::{ImageFiles, LabelledImages};
use regulus_images::{Filter, Preprocess, RgbImage, decode_file, encode_png};

use super::loader::{files, plan};
use super::miniature::Disk;

const IMAGES: usize = 9;
const SQUARE: u64 = 6 * 6 * 3;

/// Image files that have not changed for a minute, and the path of a cache.
struct Fixture {
    disk: Disk,
    files: Vec<PathBuf>,
    preprocess: Preprocess,
    budget: u64,
}

impl Fixture {
    fn new() -> Self {
        let disk = Disk::new();
        let files = files(&disk, IMAGES);
        files.iter().for_each(|file| age(file, 60));
        Self { disk, files, preprocess: Preprocess::clip(6), budget: 1 << 20 }
    }

    fn path(&self) -> PathBuf {
        self.disk.root().join("cache").join(SquareCache::file_name("a b/c", &self.preprocess))
    }

    fn open(&self) -> Result<(SquareCache, CacheReport), CacheError> {
        let source: Arc<dyn Source> = Arc::new(ImageFiles(self.files.clone()));
        let workers = Workers::new(2).unwrap();
        SquareCache::open_or_build(&self.path(), &source, &self.preprocess, self.budget, &workers, &|_| {})
    }

    /// Opens the cache; says how many squares it kept and decoded. What it holds must be right.
    fn opened(&self) -> (usize, usize) {
        let (cache, report) = self.open().unwrap();
        self.assert_right(&cache);
        assert_eq!(report.cached, report.kept + report.decoded);
        assert_eq!(report.bytes, std::fs::metadata(self.path()).unwrap().len());
        assert!(report.bytes <= self.budget);
        (report.kept, report.decoded)
    }

    /// Returns how many squares there are.
    fn assert_right(&self, cache: &SquareCache) -> usize {
        let there = self.files.iter().enumerate().filter_map(|(index, file)| {
            let expected = self.preprocess.square(&decode_file(file).ok()?.image);
            let square = cache.square(index)?;
            assert_eq!(square, expected.pixels, "image {index}");
            Some(())
        });
        there.count()
    }
}

fn age(file: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

/// Writes an image of another colour, as large as `bytes` where that can be had.
fn repaint(file: &Path, shade: u8) {
    let pixels = (0..36).map(|at| shade.wrapping_mul(at)).collect();
    std::fs::write(file, encode_png(&RgbImage { width: 4, height: 3, pixels }).unwrap()).unwrap();
}

#[test]
fn it_is_built_once_and_kept() {
    let fixture = Fixture::new();
    assert_eq!(fixture.opened(), (0, IMAGES));
    let written = std::fs::metadata(fixture.path()).unwrap().modified().unwrap();
    assert_eq!(fixture.opened(), (IMAGES, 0));
    assert_eq!(std::fs::metadata(fixture.path()).unwrap().modified().unwrap(), written);
    assert_eq!(fixture.assert_right(&fixture.open().unwrap().0), IMAGES);
}

#[test]
fn a_changed_image_is_decoded_again_and_the_others_are_kept() {
    let fixture = Fixture::new();
    fixture.opened();
    // Another content with another time, another time alone, another size with the same time.
    repaint(&fixture.files[2], 9);
    age(&fixture.files[2], 50);
    assert_eq!(fixture.opened(), (IMAGES - 1, 1));
    age(&fixture.files[4], 40);
    assert_eq!(fixture.opened(), (IMAGES - 1, 1));
    let time = std::fs::metadata(&fixture.files[5]).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&fixture.files[5]).unwrap();
    bytes.push(0);
    std::fs::write(&fixture.files[5], bytes).unwrap();
    File::options().write(true).open(&fixture.files[5]).unwrap().set_modified(time).unwrap();
    assert_eq!(fixture.opened(), (IMAGES - 1, 1));
    assert_eq!(fixture.opened(), (IMAGES, 0));
}

#[test]
fn a_file_that_changed_a_moment_ago_is_not_trusted_yet() {
    let fixture = Fixture::new();
    fixture.opened();
    repaint(&fixture.files[1], 77);
    assert_eq!(fixture.opened(), (IMAGES - 1, 0));
    assert_eq!(fixture.opened(), (IMAGES - 1, 0));
    age(&fixture.files[1], 10);
    assert_eq!(fixture.opened(), (IMAGES - 1, 1));
}

#[test]
fn undecodable_and_missing_images_are_no_reason_to_build_again() {
    let fixture = Fixture::new();
    std::fs::write(&fixture.files[0], b"no image").unwrap();
    age(&fixture.files[0], 30);
    std::fs::remove_file(&fixture.files[8]).unwrap();
    let (_, report) = fixture.open().unwrap();
    assert_eq!((report.cached, report.decoded, report.faults), (IMAGES - 2, IMAGES - 2, 1));
    let (_, report) = fixture.open().unwrap();
    assert_eq!((report.kept, report.decoded, report.faults), (IMAGES - 2, 0, 1));
    repaint(&fixture.files[0], 5);
    age(&fixture.files[0], 20);
    assert_eq!(fixture.opened(), (IMAGES - 2, 1));
}

#[test]
fn another_list_or_preprocessing_is_another_cache() {
    let mut fixture = Fixture::new();
    fixture.opened();
    let first = fixture.path();
    fixture.files.swap(0, 1);
    assert_eq!(fixture.opened(), (0, IMAGES));
    fixture.files.pop();
    assert_eq!(fixture.opened(), (0, IMAGES - 1));
    for preprocess in [
        Preprocess { filter: Filter::Bilinear, ..Preprocess::clip(6) },
        Preprocess { resize: 7, ..Preprocess::clip(6) },
        Preprocess::clip(5),
    ] {
        fixture.preprocess = preprocess;
        assert_ne!(fixture.path(), first);
        assert_eq!(fixture.opened(), (0, IMAGES - 1));
        // Also where both are told to use one file.
        std::fs::copy(&first, fixture.path()).unwrap();
        assert_eq!(fixture.opened(), (0, IMAGES - 1));
    }
    // Normalisation comes after the cache.
    let other = Preprocess { mean: [0.0; 3], ..fixture.preprocess.clone() };
    assert_eq!(SquareCache::file_name("x", &other), SquareCache::file_name("x", &fixture.preprocess));
}

#[test]
fn a_prefix_is_cached_where_the_budget_is_short() {
    let mut fixture = Fixture::new();
    fixture.budget = 4096 + 4 * SQUARE + SQUARE / 2;
    assert_eq!(fixture.opened(), (0, 4));
    let (cache, _) = fixture.open().unwrap();
    let there: Vec<bool> = (0..IMAGES).map(|index| cache.square(index).is_some()).collect();
    assert_eq!(there, [[true; 4].as_slice(), &[false; IMAGES - 4]].concat());
    fixture.budget = 1 << 20;
    assert_eq!(fixture.opened(), (4, IMAGES - 4));
    fixture.budget = 4096 + 2 * SQUARE;
    assert_eq!(fixture.opened(), (2, 0));
    fixture.budget = 4096;
    assert!(matches!(fixture.open(), Err(CacheError::Budget { budget: 4096, .. })));
}

#[test]
fn a_loader_gives_the_same_bytes_with_and_without_a_cache() {
    let mut fixture = Fixture::new();
    fixture.budget = 4096 + 4 * SQUARE;
    let source: Arc<dyn Source> = Arc::new(ImageFiles(fixture.files.clone()));
    let workers = Arc::new(Workers::new(2).unwrap());
    let open = || {
        let preprocess = &fixture.preprocess;
        SquareCache::open_or_build(&fixture.path(), &source, preprocess, fixture.budget, &workers, &|_| {})
            .unwrap()
            .0
    };
    let mirror = View::OfSquare(Arc::new(|square, _| regulus_images::flip_horizontal(&square)));
    for view in [View::Square, mirror] {
        let load = |cache: Option<SquareCache>| {
            let plan = plan(IMAGES, 4, 2).into_iter();
            let (preprocess, cache) = (fixture.preprocess.clone(), cache.map(Arc::new));
            let options = LoaderOptions::default();
            let mut loader = Loader::<u8>::new(
                Arc::clone(&source),
                preprocess,
                view.clone(),
                cache,
                plan,
                &workers,
                options,
            )
            .unwrap();
            let (mut batch, mut pixels) = (Batch::default(), Vec::new());
            while loader.next_into(&mut batch) {
                assert!(batch.faults.is_empty());
                pixels.extend_from_slice(&batch.pixels);
            }
            pixels
        };
        assert_eq!(load(Some(open())), load(None));
    }
    let other: Arc<dyn Source> = Arc::new(ImageFiles(fixture.files.clone()));
    let preprocess = fixture.preprocess.clone();
    let (cache, plan) = (Some(Arc::new(open())), plan(1, 1, 1).into_iter());
    let options = LoaderOptions::default();
    let refused = Loader::<u8>::new(other, preprocess, View::Square, cache, plan, &workers, options);
    assert_eq!(refused.unwrap_err(), LoaderError::OtherCache);
}

#[test]
fn several_processes_may_open_one_file() {
    let fixture = Fixture::new();
    let reports: Vec<CacheReport> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| fixture.open().unwrap())).collect();
        let opened: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        // One of them is told to build again while the others read.
        age(&fixture.files[0], 30);
        fixture.opened();
        opened.iter().for_each(|(cache, _)| assert_eq!(fixture.assert_right(cache), IMAGES));
        opened.into_iter().map(|(_, report)| report).collect()
    });
    assert_eq!(reports.iter().map(|report| report.decoded).sum::<usize>(), IMAGES, "built once: {reports:?}");
}

#[test]
fn a_build_that_was_killed_leaves_nothing_that_counts() {
    let fixture = Fixture::new();
    let folder = fixture.disk.path("cache/x").parent().unwrap().to_path_buf();
    let name = fixture.path().file_name().unwrap().to_owned();
    let mut partial = name.clone();
    partial.push(".part");
    std::fs::write(folder.join(&partial), vec![1; 100_000]).unwrap();
    assert_eq!(fixture.opened(), (0, IMAGES));
    assert!(!folder.join(&partial).exists());
}

#[test]
fn what_cannot_be_cached_is_said() {
    let workers = Workers::new(1).unwrap();
    let disk = Disk::new();
    let path = disk.root().join("a.squares");
    let open = |source: Arc<dyn Source>, preprocess: &Preprocess| {
        SquareCache::open_or_build(&path, &source, preprocess, 1 << 20, &workers, &|_| {})
    };
    let preprocess = Preprocess::clip(6);
    assert!(matches!(open(Arc::new(ImageFiles(Vec::new())), &preprocess), Err(CacheError::Empty)));
    let images: Arc<dyn Source> = Arc::new(LabelledImages::new(1, vec![1, 2, 3], vec![0]).unwrap());
    let nothing = Preprocess { crop: 0, ..preprocess.clone() };
    assert!(matches!(open(Arc::clone(&images), &nothing), Err(CacheError::Preprocess(_))));
    // Images in memory have no file that could be seen to change.
    let (cache, report) = open(Arc::clone(&images), &preprocess).unwrap();
    assert_eq!((report.cached, cache.square(0)), (0, None));
    std::fs::write(disk.root().join("file"), b"").unwrap();
    let blocked = disk.root().join("file/a.squares");
    let refused = SquareCache::open_or_build(&blocked, &images, &preprocess, 1 << 20, &workers, &|_| {});
    assert!(matches!(refused, Err(CacheError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever a byte of the file is changed, or the file is cut or made longer: right squares, or none.
    #[test]
    fn damage_never_shows(at in any::<prop::sample::Index>(), flip in 1..=255u8, cut in 0..3u8) {
        let fixture = FIXTURE.with(Arc::clone);
        let path = fixture.path();
        let good = match std::fs::read(&path) {
            Ok(good) => good,
            Err(_) => {
                fixture.opened();
                std::fs::read(&path).unwrap()
            }
        };
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        match cut {
            0 => bytes.truncate(at),
            1 => bytes.extend(vec![flip; at % 50 + 1]),
            _ => bytes[at] ^= flip,
        }
        // Replaced, not written into: a mapped file must keep its length.
        let damaged = fixture.disk.root().join("damaged");
        std::fs::write(&damaged, bytes).unwrap();
        std::fs::rename(&damaged, &path).unwrap();
        let (cache, _) = fixture.open().unwrap();
        let there = fixture.assert_right(&cache);
        prop_assert!(there >= IMAGES - 1);
        prop_assert_eq!(cache.damaged(), IMAGES - there);
        // A damaged square has removed the file, and the next one to open it builds another.
        prop_assert_eq!(path.exists(), there == IMAGES);
        drop(cache);
        let (cache, _) = fixture.open().unwrap();
        prop_assert_eq!(fixture.assert_right(&cache), IMAGES);
    }
}

thread_local! {
    static FIXTURE: Arc<Fixture> = Arc::new(Fixture::new());
}
