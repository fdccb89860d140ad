//! The loader: the same batches on any number of threads, faults in order, bounded memory, no thread left behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regulus_datasets::loader::{
    Batch, BenchError, BenchWork, Change, FaultCause, Loader, LoaderBench, LoaderError, LoaderOptions,
    Original, Place, Source, View, Visit, Workers, bench,
};
use regulus_datasets::{ImageFiles, LabelledImages, published};
use regulus_images::augment::RandomResizedCrop;
use regulus_images::random::Stream;
use regulus_images::{DecodeError, Preprocess, RgbImage, decode_file, flip_horizontal};

use super::miniature::Disk;

/// `count` files of 4 x 3 pixels.
pub fn files(disk: &Disk, count: usize) -> Vec<PathBuf> {
    disk.images("images", count);
    (0..count).map(|number| disk.root().join(format!("images/{number}.png"))).collect()
}

/// Every image once per epoch, in batches.
pub fn plan(images: usize, batch: usize, epochs: u64) -> Vec<Vec<Visit>> {
    let visits: Vec<Visit> =
        (0..epochs).flat_map(|epoch| (0..images).map(move |index| Visit { index, epoch })).collect();
    visits.chunks(batch).map(<[Visit]>::to_vec).collect()
}

fn random_part() -> View {
    let crop = RandomResizedCrop {
        scale: (0.3, 1.0),
        ratio: (0.75, 1.3),
        side: 6,
        filter: Preprocess::clip(6).filter,
    };
    View::OfOriginal(Arc::new(move |image, Visit { index, epoch }| {
        crop.apply(&image, &mut Stream::new(4, "crop", epoch, index as u64))
    }))
}

fn mirror() -> View {
    let change: Change = Arc::new(|square, Visit { index, epoch }| {
        let flips = Stream::new(4, "flip", epoch, index as u64).chance(0.5);
        if flips { flip_horizontal(&square) } else { square }
    });
    View::OfSquare(change)
}

fn loader(source: Arc<dyn Source>, view: View, plan: Vec<Vec<Visit>>, threads: usize) -> Loader<u8> {
    let workers = Arc::new(Workers::new(threads).unwrap());
    let (preprocess, options) = (Preprocess::clip(6), LoaderOptions::default());
    Loader::new(source, preprocess, view, None, plan.into_iter(), &workers, options).unwrap()
}

fn all(mut loader: Loader<u8>) -> (Vec<u8>, Vec<Visit>, Vec<String>) {
    let (mut batch, mut pixels, mut visits, mut faults) =
        (Batch::default(), Vec::new(), Vec::new(), Vec::new());
    while loader.next_into(&mut batch) {
        pixels.extend_from_slice(&batch.pixels);
        visits.extend_from_slice(&batch.visits);
        faults.extend(batch.faults.iter().map(|(at, fault)| format!("{at}: {fault}")));
    }
    assert!(batch.pixels.is_empty() && batch.visits.is_empty());
    assert!(!loader.next_into(&mut batch));
    (pixels, visits, faults)
}

#[test]
fn batches_are_the_same_on_any_number_of_threads() {
    let disk = Disk::new();
    let files = files(&disk, 23);
    for view in [View::Square, mirror(), random_part()] {
        let source: Arc<dyn Source> = Arc::new(ImageFiles(files.clone()));
        let load = |threads| all(loader(Arc::clone(&source), view.clone(), plan(23, 4, 3), threads));
        let one = load(1);
        assert_eq!(one.1, plan(23, 4, 3).concat());
        for threads in [2, 5] {
            assert_eq!(load(threads), one, "{view:?} on {threads} threads");
        }
        let square = 6 * 6 * 3;
        for (visit, pixels) in one.1.iter().zip(one.0.chunks(square)) {
            let image = decode_file(&files[visit.index]).unwrap().image;
            let expected = match &view {
                View::Square => Preprocess::clip(6).square(&image),
                View::OfSquare(change) => change(Preprocess::clip(6).square(&image), *visit),
                View::OfOriginal(change) => change(image, *visit),
            };
            assert_eq!(pixels, expected.pixels, "{view:?}, {visit:?}");
        }
    }
}

#[test]
fn floats_are_normalised_bytes() {
    let images = LabelledImages::new(5, (0..150).collect(), vec![0, 1]).unwrap();
    let workers = Arc::new(Workers::global());
    let (preprocess, options) = (Preprocess::clip(6), LoaderOptions::default());
    let plan = plan(2, 2, 1).into_iter();
    let mut loader = Loader::<f32>::new(
        Arc::new(images.clone()),
        preprocess.clone(),
        View::Square,
        None,
        plan,
        &workers,
        options,
    )
    .unwrap();
    let mut batch = Batch::default();
    assert!(loader.next_into(&mut batch));
    let mut expected = vec![0.0; 108];
    for (index, pixels) in batch.pixels.chunks(108).enumerate() {
        preprocess.normalise(&preprocess.square(&images.rgb_image(index)).pixels, &mut expected);
        assert_eq!(pixels, expected);
    }
}

#[test]
fn faults_come_in_order_and_name_file_and_entry() {
    let disk = Disk::with("dtd");
    let listing = published::read("dtd", disk.root()).unwrap();
    let images = listing.split("train").unwrap().clone();
    let path = |index: usize| listing.root.join(images.get(index).unwrap().path());
    std::fs::remove_file(path(3)).unwrap();
    std::fs::write(path(4), b"no image").unwrap();
    std::fs::write(path(9), b"").unwrap();
    let source =
        regulus_datasets::listing::ListedImages { root: listing.root.clone(), images: images.clone() };
    let (pixels, _, faults) = all(loader(Arc::new(source), View::Square, plan(images.len(), 5, 1), 3));
    let start = |at: usize, index: usize| {
        let image = images.get(index).unwrap();
        format!("{at}: {} ({}): ", listing.root.join(image.path()).display(), image.entry().unwrap())
    };
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, start) in faults.iter().zip([start(3, 3), start(4, 4), start(4, 9)]) {
        assert!(fault.starts_with(&start), "{fault} / {start}");
        assert!(start.contains("train["));
    }
    let black = |index: usize| pixels[index * 108..(index + 1) * 108].iter().all(|&byte| byte == 0);
    assert!(black(3) && black(4) && black(9) && !black(5));
}

#[test]
fn an_image_that_is_not_there_and_a_view_of_another_size_are_faults() {
    let images = Arc::new(LabelledImages::new(1, vec![1, 2, 3], vec![0]).unwrap());
    let (_, _, faults) = all(loader(images.clone(), View::Square, plan(2, 2, 1), 1));
    assert!(
        faults[0].starts_with("1: image 1 in memory: cannot read the file: there is no image 1"),
        "{faults:?}"
    );
    let view = View::OfOriginal(Arc::new(|image, _| image));
    let mut loader = loader(images, view, plan(1, 1, 1), 1);
    let mut batch = Batch::default();
    assert!(loader.next_into(&mut batch));
    assert!(matches!(batch.faults[0].1.cause, FaultCause::NotSquare { width: 1, height: 1, side: 6 }));
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_utf8_are_read() {
    use std::os::unix::ffi::OsStrExt;
    let disk = Disk::new();
    let path = disk.root().join(std::ffi::OsStr::from_bytes(b"caf\xe9.png"));
    disk.image("plain.png");
    std::fs::rename(disk.root().join("plain.png"), &path).unwrap();
    let (_, _, faults) = all(loader(Arc::new(ImageFiles(vec![path])), View::Square, plan(1, 1, 1), 2));
    assert!(faults.is_empty(), "{faults:?}");
}

/// Images in memory, which count how many of them are in use at the same time.
#[derive(Debug)]
struct Counted {
    side: usize,
    reads: AtomicUsize,
}

impl Source for Counted {
    fn len(&self) -> usize {
        1 << 30
    }

    fn read(&self, index: usize) -> Result<Original, DecodeError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let pixels = vec![index as u8; self.side * self.side * 3];
        Ok(Original::Pixels(RgbImage { width: self.side, height: self.side, pixels }))
    }

    fn place(&self, index: usize) -> Place {
        Place { path: format!("{index}").into(), entry: None, offset: 0 }
    }
}

#[test]
fn a_loader_works_only_so_far_ahead() {
    let batch_bytes = 4 * 6 * 6 * 3;
    // The prefetch bounds the first, the memory the second and third; one batch is always let in.
    for (prefetch, memory, ahead) in [(3, 1 << 20, 3), (100, 2 * 2 * batch_bytes, 2), (0, 0, 1)] {
        let source = Arc::new(Counted { side: 8, reads: AtomicUsize::new(0) });
        let workers = Arc::new(Workers::new(4).unwrap());
        let endless = (0..).map(|batch| (0..4).map(|at| Visit { index: batch * 4 + at, epoch: 0 }).collect());
        let mut loader = Loader::<u8>::new(
            Arc::clone(&source) as Arc<dyn Source>,
            Preprocess::clip(6),
            View::Square,
            None,
            endless,
            &workers,
            LoaderOptions { prefetch, memory },
        )
        .unwrap();
        let mut batch = Batch::default();
        for taken in 1..50 {
            assert!(loader.next_into(&mut batch));
            assert_eq!(batch.pixels[0], ((taken - 1) * 4) as u8);
            assert!(source.reads.load(Ordering::SeqCst) <= (taken + ahead) * 4);
        }
        assert!(loader.buffers() <= ahead + 1, "{} buffers", loader.buffers());
        let largest = 8 * 8 * 3;
        assert!(
            loader.peak_original_bytes() <= (memory / 2).max(largest),
            "{}",
            loader.peak_original_bytes()
        );
    }
}

#[test]
fn dropping_a_loader_ends_its_work_and_the_last_owner_its_threads() {
    let source = Arc::new(Counted { side: 300, reads: AtomicUsize::new(0) });
    let workers = Arc::new(Workers::new(2).unwrap());
    let endless = (0..).map(|batch| (0..500).map(|at| Visit { index: batch * 500 + at, epoch: 0 }).collect());
    let options = LoaderOptions { prefetch: 8, memory: 1 << 30 };
    let view = random_part();
    let loader = Loader::<f32>::new(
        Arc::clone(&source) as Arc<dyn Source>,
        Preprocess::clip(6),
        view,
        None,
        endless,
        &workers,
        options,
    )
    .unwrap();
    assert_eq!(Arc::strong_count(&workers), 2);
    drop(loader);
    let reads = source.reads.load(Ordering::SeqCst);
    assert!(reads < 8 * 500, "all images were loaded for nobody");
    // Every job is gone, and with it its share of the source.
    drop(workers);
    assert_eq!(Arc::strong_count(&source), 1);
    assert_eq!(source.reads.load(Ordering::SeqCst), reads);
}

#[test]
fn a_panic_of_a_view_reaches_the_caller_in_its_turn() {
    let images = Arc::new(LabelledImages::new(6, vec![7; 3 * 108], vec![0; 3]).unwrap());
    let change: Change = Arc::new(|image, visit| {
        assert!(visit.index != 1, "a defect");
        image
    });
    let mut loader = loader(images, View::OfSquare(change), plan(3, 1, 1), 2);
    let mut batch = Batch::default();
    assert!(loader.next_into(&mut batch));
    let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loader.next_into(&mut batch)));
    assert!(next.is_err());
    assert!(loader.next_into(&mut batch));
    assert_eq!(batch.visits, [Visit { index: 2, epoch: 0 }]);
}

#[test]
fn a_loader_can_be_used_from_its_own_pool() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let images = Arc::new(LabelledImages::new(6, vec![7; 3 * 108], vec![0; 3]).unwrap());
    // Inside of `install`, rayon's global functions mean this pool.
    let count = pool.install(|| {
        let workers = Arc::new(Workers::global());
        let (preprocess, options) = (Preprocess::clip(6), LoaderOptions::default());
        let plan = plan(3, 1, 4).into_iter();
        let mut loader =
            Loader::<u8>::new(images, preprocess, View::Square, None, plan, &workers, options).unwrap();
        let mut batch = Batch::default();
        std::iter::from_fn(|| loader.next_into(&mut batch).then_some(())).count()
    });
    assert_eq!(count, 12);
}

#[test]
fn nonsense_is_refused() {
    let images: Arc<dyn Source> = Arc::new(LabelledImages::new(1, vec![1, 2, 3], vec![0]).unwrap());
    let workers = Arc::new(Workers::new(1).unwrap());
    let preprocess = Preprocess { crop: 0, ..Preprocess::clip(6) };
    let plan = plan(1, 1, 1).into_iter();
    let options = LoaderOptions::default();
    let refused =
        Loader::<u8>::new(Arc::clone(&images), preprocess, View::Square, None, plan, &workers, options);
    assert!(matches!(refused.unwrap_err(), LoaderError::Preprocess(_)));
    let nothing = LoaderBench {
        source: images,
        preprocess: Preprocess::clip(6),
        work: BenchWork::Train,
        workers: 1,
        batch: 0,
        epochs: 1,
        options,
    };
    assert!(matches!(bench(&nothing), Err(BenchError::Nothing { batch: 0, .. })));
}

#[test]
fn a_bench_counts_what_it_measures() {
    let disk = Disk::new();
    let source: Arc<dyn Source> = Arc::new(ImageFiles(files(&disk, 7)));
    let path = disk.root().join("cache/squares");
    for work in [BenchWork::Train, BenchWork::Evaluation, BenchWork::Cached { path, budget: 1 << 20 }] {
        let report = bench(&LoaderBench {
            source: Arc::clone(&source),
            preprocess: Preprocess::clip(6),
            work: work.clone(),
            workers: 2,
            batch: 3,
            epochs: 2,
            options: LoaderOptions::default(),
        })
        .unwrap();
        assert_eq!((report.images, report.faults, report.workers, report.work), (14, 0, 2, work.name()));
        assert!(report.images_per_second > 0.0 && report.stages.write > 0.0);
        assert_eq!(report.cache.is_some(), work.name() == "cached");
    }
}
