//! Data sets as they lie on this machine, where there are any: set `REGULUS_DATASETS` to the folder of all data sets.

use std::path::PathBuf;

use regulus_datasets::protocol::Protocol;
use regulus_datasets::published::{self, CheckOptions};

/// Prints what [`published::check_with`] says of every data set, and plans what can be planned.
#[test]
#[ignore = "needs data sets and reads their files"]
fn data_sets_on_this_machine() {
    let root = PathBuf::from(std::env::var_os("REGULUS_DATASETS").unwrap());
    for dataset in published::list() {
        let options = CheckOptions { files: true, contents: true };
        let report = published::check_with(dataset.name, &root, options).unwrap();
        if report.missing.len() == dataset.parts.len() {
            println!("{}: not there", dataset.name);
            continue;
        }
        println!("{report}");
        let Ok(listing) = published::read(dataset.name, &root) else { continue };
        let mut protocols =
            vec![Protocol::FewShot { shots: 16 }, Protocol::BaseToNovel { shots: 16 }, Protocol::Full];
        let held_out = |domain: &String| Protocol::OutOfDistribution { held_out: vec![domain.clone()] };
        protocols.extend(listing.domains.iter().map(held_out));
        protocols.extend(
            listing.domains.is_empty().then_some(Protocol::OutOfDistribution { held_out: Vec::new() }),
        );
        for protocol in protocols {
            match protocol.plan(&listing, &[], 1) {
                Ok(task) => {
                    let sizes: Vec<String> =
                        task.tests.iter().map(|t| format!("{} {}", t.name, t.images.images.len())).collect();
                    let (train, val) = (task.train.images.len(), task.val.images.len());
                    println!("  {protocol}: train {train}, val {val}, {}", sizes.join(", "));
                }
                Err(error) => println!("  {protocol}: {error}"),
            }
        }
    }
}
