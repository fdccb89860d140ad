//! Measures the loader on a folder of images (`<folder>/train/<class>_<number>.<ext>` and the other layouts):
//! `cargo run -p regulus-datasets --example loader -- FOLDER train|evaluation|cached [WORKERS] [EPOCHS] [IMAGES]`.

use std::sync::Arc;

use regulus_datasets::folders::{FolderRequest, scan};
use regulus_datasets::loader::{BenchWork, LoaderBench, LoaderOptions, SquareCache, bench};
use regulus_datasets::{ImageFiles, Source};
use regulus_images::Preprocess;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, work, rest @ ..] = arguments.as_slice() else {
        return Err("FOLDER and kind of work".into());
    };
    let number = |at: usize, default: usize| rest.get(at).map_or(Ok(default), |text| text.parse());
    let listing = scan(&FolderRequest::new(folder))?;
    let mut files: Vec<_> = listing.train.files.iter().map(|file| file.path.clone()).collect();
    files.truncate(number(2, usize::MAX)?);
    let preprocess = Preprocess::clip(224);
    let source: Arc<dyn Source> = Arc::new(ImageFiles(files));
    let work = match work.as_str() {
        "train" => BenchWork::Train,
        "evaluation" => BenchWork::Evaluation,
        _ => {
            let path = std::env::temp_dir().join(SquareCache::file_name("example", &preprocess));
            BenchWork::Cached { path, budget: 4 << 30 }
        }
    };
    let report = bench(&LoaderBench {
        source,
        preprocess,
        work,
        workers: number(0, 2)?,
        batch: 32,
        epochs: number(1, 1)? as u64,
        options: LoaderOptions::default(),
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
