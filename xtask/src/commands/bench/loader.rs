//! `cargo xtask bench loader`: images per second from a folder of images.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use regulus_datasets::ImageFiles;
use regulus_datasets::folders::{FolderRequest, scan};
use regulus_datasets::loader::cache::default_folder;
use regulus_datasets::loader::{
    BenchError, BenchWork, LoaderBench, LoaderOptions, LoaderReport, Source, SquareCache, bench,
};
use regulus_images::Preprocess;

use crate::failure::{Failure, Outcome};
use crate::table::Table;

/// Arguments of `cargo xtask bench loader`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of images, in any layout that `cargo xtask train --data` reads
    #[arg(long)]
    data: PathBuf,
    /// What to measure: all of it if absent
    #[arg(long, value_enum)]
    work: Vec<Work>,
    /// Threads; 0 is one for each processor
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Images per batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Side of the squares in pixels
    #[arg(long, default_value_t = 224)]
    side: usize,
    /// Passes over the images that are measured, after one that is not
    #[arg(long, default_value_t = 2)]
    epochs: u64,
    /// Batches that the loader works ahead
    #[arg(long, default_value_t = 4)]
    prefetch: usize,
    /// Memory of the loader, in MiB
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// Folder of the cache file (default: REGULUS_CACHE, or regulus in the cache folder of the user)
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Largest cache file, in MiB
    #[arg(long, default_value_t = 8192)]
    cache_budget: u64,
    /// Print a list of reports as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// Random resized crop and flip, from the files
    Train,
    /// Resize and centre crop, from the files
    Evaluation,
    /// Resize and centre crop, from the cache
    Cached,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let listing = scan(&FolderRequest::new(&arguments.data)).map_err(Failure::request)?;
    let files = listing.splits().flat_map(|split| &split.files).map(|file| file.path.clone()).collect();
    let source: Arc<dyn Source> = Arc::new(ImageFiles(files));
    let preprocess = Preprocess::clip(arguments.side);
    preprocess.check().map_err(Failure::request)?;
    let chosen: &[Work] = match arguments.work.as_slice() {
        [] => &[Work::Train, Work::Evaluation, Work::Cached],
        some => some,
    };
    let mut reports = Vec::with_capacity(chosen.len());
    for &work in chosen {
        let request = LoaderBench {
            source: Arc::clone(&source),
            preprocess: preprocess.clone(),
            work: arguments.of(work, &preprocess)?,
            workers: arguments.workers,
            batch: arguments.batch,
            epochs: arguments.epochs,
            options: LoaderOptions {
                prefetch: arguments.prefetch,
                memory: arguments.memory.saturating_mul(1 << 20),
            },
        };
        reports.push(bench(&request).map_err(|error| match error {
            BenchError::Nothing { .. } | BenchError::Loader(_) | BenchError::Cache(_) => {
                Failure::request(error)
            }
            BenchError::Workers(_) => Failure::work(error),
        })?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports).map_err(Failure::work)?);
    } else {
        print(&reports);
    }
    Ok(())
}

impl Arguments {
    fn of(&self, work: Work, preprocess: &Preprocess) -> Outcome<BenchWork> {
        Ok(match work {
            Work::Train => BenchWork::Train,
            Work::Evaluation => BenchWork::Evaluation,
            Work::Cached => {
                let folder = self.cache.clone().or_else(default_folder).ok_or_else(|| {
                    Failure::Request(anyhow!("no folder for the cache is known: name one with --cache"))
                })?;
                let name = self.data.canonicalize().unwrap_or_else(|_| self.data.clone());
                let path = folder.join(SquareCache::file_name(&name.to_string_lossy(), preprocess));
                BenchWork::Cached { path, budget: self.cache_budget.saturating_mul(1 << 20) }
            }
        })
    }
}

fn print(reports: &[LoaderReport]) {
    let mut table = Table::new([
        "work", "images", "images/s", "read s", "decode s", "view s", "cache s", "write s", "peak MiB",
    ]);
    for report in reports {
        let stages = &report.stages;
        let mut row = vec![
            report.work.to_owned(),
            report.images.to_string(),
            format!("{:.0}", report.images_per_second),
        ];
        let seconds = [stages.read, stages.decode, stages.view, stages.cache, stages.write];
        row.extend(seconds.map(|seconds| format!("{seconds:.2}")));
        row.push(
            report.peak_memory.map_or_else(|| "not known".to_owned(), |bytes| (bytes >> 20).to_string()),
        );
        table.row(row);
    }
    println!("{table}");
    for report in reports {
        if report.faults > 0 {
            println!("{}: {} images could not be read and count as delivered", report.work, report.faults);
        }
        if let Some(cache) = &report.cache {
            println!(
                "cache: {} of {} images in {} MiB, {} of them decoded now",
                cache.cached,
                cache.images,
                cache.bytes >> 20,
                cache.decoded
            );
        }
    }
}
