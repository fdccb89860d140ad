//! Decoded images in a cache: the same scores with and without it, within its budget.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{Ended, class_folders, run_folders, text, xtask, xtask_caching};

fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let time = SystemTime::now() - Duration::from_secs(3600);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }
}

#[test]
fn a_cache_changes_no_score_and_keeps_to_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
    class_folders(&data.join("train"), &["cat", "house"], 6);
    class_folders(&data.join("test"), &["cat", "house"], 2);
    age(&data);
    let scores = |name: &str, run: &dyn Fn(&[&str]) -> Ended| {
        let runs = folder.path().join(name);
        run(&[
            "train",
            "--data",
            text(&data),
            "--runs",
            text(&runs),
            "--method",
            "finetune",
            "--set",
            "training.steps=2",
            "--set",
            "training.batch=4",
        ])
        .with_code(0);
        std::fs::read(run_folders(&runs)[0].join("metrics.jsonl")).unwrap()
    };
    let files = || {
        std::fs::read_dir(&cache).map_or(0, |files| {
            files
                .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "squares"))
                .count()
        })
    };
    let plain = scores("plain", &|arguments| xtask(arguments));
    for (name, budget, count) in [("small", "1 kB", 0), ("first", "1MiB", 3), ("second", "1MiB", 3)] {
        assert_eq!(scores(name, &|arguments| xtask_caching(&cache, budget, arguments)), plain, "{name}");
        assert_eq!(files(), count, "train, id and test: {name}");
    }
    let asked = ["train", "--data", text(&data), "--runs", text(folder.path())];
    xtask_caching(&cache, "much", &asked).refused().naming(&["REGULUS_CACHE_BUDGET is `much`", "32GiB"]);
}
