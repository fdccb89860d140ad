//! Data sets in miniature, in the layout of each community, from `data check` through a protocol and one epoch to a
//! report.

use std::path::Path;

use serde_json::Value;

use crate::miniature::Disk;
use crate::support::{Ended, class_folders, root, run_folders, text, write, xtask};

const ONE_EPOCH: [&str; 4] = ["--set", "training.epochs=1", "--set", "training.batch=4"];

fn train(disk: &Disk, runs: &Path, data: &str, protocol: &str, more: &[&str]) -> Ended {
    let (data, disk) = (format!("published:{data}"), text(disk.root()));
    let asked =
        ["train", "--data", &data, "--root", disk, "--protocol", protocol, "--runs", text(runs), "--method"];
    xtask(&[&asked[..], &["finetune-frozen-text"], &ONE_EPOCH, more].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every data set that has training images, with a protocol and the splits that it tests.
const CASES: [(&str, &str, &[&str]); 20] = [
    ("eurosat", "few-shot:4", &["test"]),
    ("oxford_pets", "base-to-novel:4", &["base", "novel"]),
    ("imagenet", "few-shot:2", &["test"]),
    ("imagenet_lt", "long-tailed", &["test"]),
    ("fgvc_aircraft", "full", &["test"]),
    ("bar", "out-of-distribution", &["id", "ood"]),
    ("pacs", "out-of-distribution:sketch", &["id", "ood:sketch"]),
    ("domainnet", "out-of-distribution:real", &["id", "ood:real"]),
    ("office_home", "out-of-distribution:art", &["id", "ood:art"]),
    ("cifar10", "full", &["test"]),
    ("caltech101", "few-shot:1", &["test"]),
    ("stanford_cars", "base-to-novel:2", &["base", "novel"]),
    ("oxford_flowers", "few-shot:2", &["test"]),
    ("food101", "low-data:0.5", &["test"]),
    ("sun397", "few-shot:4", &["test"]),
    ("dtd", "full", &["test"]),
    ("ucf101", "base-to-novel:1", &["base", "novel"]),
    ("nico_animal", "out-of-distribution:on snow", &["id", "ood:on snow"]),
    ("nico_vehicle", "out-of-distribution:on snow", &["id", "ood:on snow"]),
    ("cifar100", "full", &["test"]),
];

/// Data sets that are only tested on.
const VARIANTS: [&str; 4] = ["imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"];

#[test]
fn every_data_set_goes_from_check_to_report() {
    for (name, protocol, splits) in CASES {
        let disk = Disk::with(name);
        let checked = xtask(&["data", "check", name, "--root", text(disk.root()), "--json"]).with_code(1);
        let report: Value = serde_json::from_str(&checked.stdout).unwrap();
        assert!(report[0]["missing"].as_array().unwrap().is_empty(), "{name}: {report}");
        assert!(report[0]["fault"].is_null(), "{name}: {report}");

        let runs = disk.root().join("runs");
        let ended = train(&disk, &runs, name, protocol, &[]).with_code(0);
        for part in splits.iter().chain(&["macro-F1", "ECE", "sampled list"]) {
            assert!(ended.stdout.contains(part), "{name}: `{part}` is not in: {}", ended.stdout);
        }
        let run = &run_folders(&runs)[0];
        let outcome = json(&run.join("outcome.json"));
        let tested: Vec<&str> =
            outcome["splits"].as_array().unwrap().iter().map(|s| s["split"].as_str().unwrap()).collect();
        assert_eq!(tested, splits, "{name}");
        let shots = std::fs::read_to_string(run.join("shots.txt")).unwrap();
        assert!(shots.contains(&format!("protocol\t{protocol}\nseed\t1\n")), "{name}: {shots}");
        for split in outcome["splits"].as_array().unwrap() {
            let details = &split["details"];
            assert!(details["macro_f1"].is_number() && details["confusion"].is_array(), "{name}: {split}");
            let has_domains = protocol.starts_with("out") && name != "bar";
            assert_eq!(details["worst_group"].is_object(), has_domains, "{name}: {split}");
        }
        let out_of_distribution = protocol.starts_with("out");
        let fitted_on = outcome["calibration"]["split"].as_str();
        if out_of_distribution {
            assert_eq!(fitted_on, Some("id"), "{name}");
            assert!(outcome["splits"][0]["details"]["calibration_error_scaled"].is_null(), "{name}");
            assert!(outcome["splits"][1]["details"]["calibration_error_scaled"].is_number(), "{name}");
        } else {
            let has_validation = !["imagenet", "cifar10", "cifar100"].contains(&name);
            assert_eq!(fitted_on, has_validation.then_some("val"), "{name}");
        }
    }
}

#[test]
fn variants_of_imagenet_are_targets() {
    let disk = Disk::with("imagenet");
    VARIANTS.iter().for_each(|name| disk.add(name));
    let runs = disk.root().join("runs");
    let targets = ["--targets", &VARIANTS.join(",")];
    train(&disk, &runs, "imagenet", "domain-generalisation:2", &targets).with_code(0);
    let outcome = json(&run_folders(&runs)[0].join("outcome.json"));
    let tested = outcome["splits"].as_array().unwrap().iter().map(|split| split["split"].as_str().unwrap());
    assert_eq!(tested.collect::<Vec<_>>(), [&["test"][..], &VARIANTS].concat());
    let named: Vec<&str> = CASES.iter().map(|case| case.0).chain(VARIANTS).collect();
    for dataset in regulus_datasets::published::list() {
        assert!(named.contains(&dataset.name), "{} is not tested", dataset.name);
    }
}

#[test]
fn a_sampled_list_can_be_imported_and_is_the_same_run() {
    let disk = Disk::with("eurosat");
    let runs = disk.root().join("runs");
    train(&disk, &runs, "eurosat", "few-shot:2", &[]).with_code(0);
    let shots = run_folders(&runs)[0].join("shots.txt");
    let again = train(&disk, &runs, "eurosat", "few-shot:2", &["--shots-from", text(&shots)]).with_code(0);
    assert!(again.stdout.contains("already finished"), "{}", again.stdout);
    train(&disk, &runs, "eurosat", "few-shot:2", &["--seed", "2"]).with_code(0);
    assert_eq!(run_folders(&runs).len(), 2, "another seed chooses others");
    // The first seed's list under the second seed is a third run.
    let third = ["--seed", "3", "--shots-from", text(&shots)];
    train(&disk, &runs, "eurosat", "few-shot:2", &third).with_code(0);
    assert_eq!(run_folders(&runs).len(), 3);
    let foreign = std::fs::read_to_string(&shots).unwrap().replace("eurosat", "dtd");
    write(&shots, foreign.as_bytes());
    train(&disk, &runs, "eurosat", "few-shot:2", &["--shots-from", text(&shots)])
        .refused()
        .naming(&["the imported list", "dtd"]);
}

#[test]
fn a_manifest_trains() {
    let folder = tempfile::tempdir().unwrap();
    class_folders(folder.path(), &["cat", "house"], 5);
    let row = |class: &str, n: usize, split: &str| format!("{class}/{n}.png,{class},{split}\n");
    let rows: String = ["cat", "house"]
        .iter()
        .flat_map(|class| (0..5).map(move |n| row(class, n, if n < 3 { "train" } else { "test" })))
        .collect();
    let (manifest, runs) = (folder.path().join("mine.csv"), folder.path().join("runs"));
    write(&manifest, format!("path,label,split\n{rows}").as_bytes());
    let asked = ["train", "--data", text(&manifest), "--runs", text(&runs), "--method", "finetune"];
    let ended = xtask(&[&asked[..], &ONE_EPOCH].concat()).with_code(0);
    assert!(ended.stdout.contains("finetune on mine-full (6 training images"), "{}", ended.stdout);
    let low = [&asked[..], &["--protocol", "low-data:0.5"], &ONE_EPOCH].concat();
    assert!(xtask(&low).with_code(0).stdout.contains("4 training images"));
    std::fs::remove_file(folder.path().join("cat/4.png")).unwrap();
    xtask(&asked).refused().naming(&["cat/4.png", "mine.csv, line 6"]);
}

#[test]
fn wrong_requests_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let here = text(folder.path());
    let train = |more: &[&str]| xtask(&[&["train", "--runs", here, "--method", "finetune"], more].concat());
    train(&["--data", "published:eurosat"]).refused().naming(&["--protocol is missing", "few-shot:16"]);
    train(&["--data", "published:eurosat", "--protocol", "full"]).refused().naming(&["--root is missing"]);
    train(&["--data", "world", "--protocol", "full"]).refused().naming(&["published:<name>"]);
    let eurosat = |more: &[&str]| {
        train(&[&["--data", "published:eurosat", "--root", here, "--protocol"], more].concat()).refused()
    };
    eurosat(&["few-shots:4"]).naming(&["did you mean `few-shot`?"]);
    eurosat(&["full", "--test-domains", "a"]).naming(&["--test-domains"]);
    eurosat(&["full"]).naming(&["EuroSAT needs", "2750"]);
    let names = ["--data", "published:eurosta", "--root", here, "--protocol", "full"];
    train(&names).refused().naming(&["data.name", "did you mean `eurosat`?"]);
    let blind = ["--data", "published:eurosat", "--root", here, "--protocol", "base-to-novel:4"];
    train(&blind).refused().naming(&["data.protocol", "cannot read names"]);
}

#[test]
fn data_sets_are_listed_and_checked() {
    let listed = xtask(&["data", "list"]).with_code(0).stdout;
    assert!(listed.contains("eurosat") && listed.contains("MIT"), "{listed}");
    let entries: Value =
        serde_json::from_str(&xtask(&["data", "list", "--json"]).with_code(0).stdout).unwrap();
    assert!(entries.as_array().unwrap().iter().any(|entry| entry["name"] == "bar" && entry["classes"] == 6));
    let disk = Disk::with("eurosat");
    std::fs::remove_file(disk.root().join("eurosat/split_zhou_EuroSAT.json")).unwrap();
    let check = |name: &str| xtask(&["data", "check", name, "--root", text(disk.root())]);
    let missing = check("eurosat").with_code(1);
    assert!(missing.stdout.contains("missing split_zhou_EuroSAT.json: get it from"), "{}", missing.stdout);
    check("eurosta").refused().naming(&["did you mean `eurosat`?"]);
}

fn reproduce(suite: &str, disk: &Disk, more: &[&str]) -> Ended {
    let (root, runs) = (text(disk.root()), disk.root().join("runs"));
    let asked = ["reproduce", "--suite", suite, "--root", root, "--model", "assets/world-clip", "--runs"];
    xtask(&[&asked[..], &[text(&runs)], more].concat())
}

#[test]
fn a_published_suite_runs_what_is_there_and_sets_paper_and_ours_side_by_side() {
    let disk = Disk::with("eurosat");
    disk.add("dtd");
    // The published prompts are for twelve layers and 77 tokens; the miniature model has its own method.
    let suite = r#"
        title = "Two of three"
        expects = "CLIP ViT-B/16"
        seeds = [1, 2]
        provenance = { seeds = "ours" }
        tasks.eurosat = { kind = "published", name = "eurosat", protocol = "base-to-novel:2" }
        tasks.dtd = { kind = "published", name = "dtd", protocol = "base-to-novel:2" }
        tasks.food101 = { kind = "published", name = "food101", protocol = "base-to-novel:2" }
        methods.zero-shot = { name = "zero-shot" }
        recipes.tuned = "recipes/methods/coop.toml"
        variants.anywhere = { of = "tuned", set = ["method.template=a photo of a {}."] }
        [paper]
        table = "promptsrc/base-to-novel"
        rows = { zero-shot = "CLIP" }
        columns = [{ column = "Base Acc.", split = "base" }, { column = "HM", split = "h" }]
        [[runs]]
        task = "eurosat"
        once = ["zero-shot"]
        methods = ["coop"]
        of = { coop = "anywhere" }
        [[runs]]
        task = "dtd"
        once = ["zero-shot"]
        methods = ["coop"]
        of = { coop = "anywhere" }
    "#;
    let third = "[[runs]]\ntask = \"food101\"\nonce = [\"zero-shot\"]\nmethods = []\n";
    let path = disk.root().join("three.toml");
    write(&path, format!("{suite}{third}").as_bytes());
    let ended = reproduce(text(&path), &disk, &ONE_EPOCH).with_code(0);
    ended.naming(&["left out, not there: food101: incomplete"]);
    let report = std::fs::read_to_string(disk.root().join("runs/three/report.md")).unwrap();
    for part in [
        "## Paper and ours (PromptSRC/README.md)",
        "| zero-shot | average of base-to-novel:2 (2 of 3) | base | 69.34 |",
        "Left out, the data is not there: food101.",
        "Not published: seeds (ours).",
    ] {
        assert!(report.contains(part), "`{part}` is not in: {report}");
    }
    let numbers = json(&disk.root().join("runs/three/summary.json"))["paper"].clone();
    let number = |method: &str, data: &str, split: &str| {
        let mut fitting = numbers.as_array().unwrap().iter();
        fitting.find(|n| n["method"] == method && n["data"] == data && n["split"] == split).unwrap().clone()
    };
    // Over two of three data sets there is no difference to tell.
    assert!(number("zero-shot", "average of base-to-novel:2 (2 of 3)", "h")["difference"].is_null());
    let all = "average of base-to-novel:2";
    let mean = |split: &str| number("coop", all, split)["mean"].as_f64().unwrap();
    let of = |task: &str, split: &str| number("coop", task, split)["mean"].as_f64().unwrap();
    assert!((mean("base") - (of("eurosat", "base") + of("dtd", "base")) / 2.0).abs() < 1e-9);
    let (base, novel) = (mean("base"), mean("novel"));
    let harmonic = if base + novel > 0.0 { 2.0 * base * novel / (base + novel) } else { 0.0 };
    assert!((mean("h") - harmonic).abs() < 1e-9, "the harmonic mean of the averages");

    // Resumed without the third data set: nothing is left to run, and the averages are whole.
    write(&path, suite.as_bytes());
    let ended = reproduce(text(&path), &disk, &ONE_EPOCH).with_code(0);
    ended.naming(&["6 runs, 6 finished before"]);
    let numbers = json(&disk.root().join("runs/three/summary.json"))["paper"].clone();
    let whole = numbers.as_array().unwrap().iter().find(|n| n["data"] == all && n["split"] == "h").unwrap();
    let (paper, ours) = (whole["paper"].as_f64().unwrap(), whole["mean"].as_f64().unwrap());
    assert!((whole["difference"].as_f64().unwrap() - (ours - paper)).abs() < 1e-9);
    assert_eq!(paper, 71.7);

    write(&path, suite.replace("\"CLIP\"", "\"CLAP\"").as_bytes());
    reproduce(text(&path), &disk, &ONE_EPOCH).refused().naming(&["no row or column `CLAP`"]);
}

/// The shipped suites, on miniatures of all their data: every recipe, variant and cell is valid.
#[test]
fn every_published_suite_can_be_planned() {
    let disk = Disk::new();
    regulus_datasets::published::list().for_each(|dataset| disk.add(dataset.name));
    let mut count = 0;
    for system in std::fs::read_dir(root().join("recipes/suites")).unwrap() {
        let system = system.unwrap().path();
        let Ok(suites) = std::fs::read_dir(&system) else { continue };
        for suite in suites {
            let suite = suite.unwrap().path();
            let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let name = format!("{}/{}", name(&system), name(&suite));
            let more = ["--estimate", "--backbone", "assets/world-backbone", "--seeds", "1"];
            let ended = reproduce(&name, &disk, &more).with_code(0);
            assert!(!ended.stderr.contains("left out"), "{name}: {}", ended.stderr);
            count += 1;
        }
    }
    assert!(count >= 8, "{count} suites");
    let nowhere = Disk::new();
    reproduce("proreg/ood", &nowhere, &[]).refused().naming(&["none of its data is there", "bar", "pacs"]);
    let asked = ["reproduce", "--suite", "proreg/ood", "--root", text(disk.root())];
    xtask(&asked).refused().naming(&["--model is missing: CLIP ViT-B/32"]);
    xtask(&["reproduce", "--suite", "proreg/odd"]).refused().naming(&["did you mean `proreg/ood`?"]);
}
