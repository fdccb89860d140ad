//! `cargo xtask data list` and `data check`: which published data sets there are, and what of them is on this disk.

use std::path::Path;

use regulus_datasets::published::{self, CheckOptions, CheckReport, PublishedDataset, PublishedSplit};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::table::Table;

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    title: &'a str,
    folder: Option<&'a &'static str>,
    classes: usize,
    splits: Vec<SplitEntry<'a>>,
    templates: Vec<&'a str>,
    licence: &'a str,
    megabytes: Option<u32>,
    homepage: &'a str,
}

#[derive(Serialize)]
struct SplitEntry<'a> {
    name: &'a str,
    images: Option<usize>,
}

/// Prints the table of all known data sets.
pub fn list(json: bool) -> Outcome {
    if json {
        let entries: Vec<Entry<'_>> = published::list().map(entry).collect();
        return print_json(&entries);
    }
    let mut table = Table::of_words(["name", "data set", "classes", "images", "licence", "MB"]);
    for dataset in published::list() {
        let splits: Vec<String> = dataset.splits.iter().map(size).collect();
        table.row([
            dataset.name.to_owned(),
            dataset.title.to_owned(),
            dataset.classes.count.to_string(),
            splits.join(", "),
            dataset.licence.to_owned(),
            dataset.megabytes.map_or_else(|| "?".to_owned(), |megabytes| megabytes.to_string()),
        ]);
    }
    println!("{table}\ncargo xtask data check <name> --root <folder> says what of one is there");
    Ok(())
}

fn entry(dataset: &'static PublishedDataset) -> Entry<'static> {
    Entry {
        name: dataset.name,
        title: dataset.title,
        folder: dataset.folders.first(),
        classes: dataset.classes.count,
        splits: dataset
            .splits
            .iter()
            .map(|split| SplitEntry { name: split.name, images: split.images })
            .collect(),
        templates: dataset.templates.iter().map(|template| template.text).collect(),
        licence: dataset.licence,
        megabytes: dataset.megabytes,
        homepage: dataset.homepage,
    }
}

fn size(split: &PublishedSplit) -> String {
    format!("{} {}", split.name, split.images.map_or_else(|| "?".to_owned(), |images| images.to_string()))
}

/// What `data check` is asked.
pub struct Request<'a> {
    /// Names of data sets; none for all of them.
    pub names: &'a [String],
    /// Folder of the data sets.
    pub root: &'a Path,
    /// Whether contents of images of different splits are compared.
    pub contents: bool,
    /// Whether to print JSON.
    pub json: bool,
}

/// Prints what is there of data sets; fails if anything is missing or differs from what is published.
pub fn check(request: &Request<'_>) -> Outcome {
    let options = CheckOptions { contents: request.contents, ..CheckOptions::default() };
    let all: Vec<String> = published::list().map(|dataset| dataset.name.to_owned()).collect();
    let names = if request.names.is_empty() { &all } else { request.names };
    let reports = names.iter().map(|name| published::check_with(name, request.root, options));
    let reports: Vec<CheckReport> = reports.collect::<Result<_, _>>().map_err(Failure::request)?;
    if request.json {
        print_json(&reports)?;
    } else {
        reports.iter().for_each(|report| println!("{report}"));
    }
    let differing: Vec<&str> =
        reports.iter().filter(|report| !report.is_as_published()).map(|report| report.dataset).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let message = format!("missing or not as published: {}", differing.join(", "));
    Err(Failure::Work(anyhow::anyhow!(message)))
}

fn print_json(value: &impl Serialize) -> Outcome {
    println!("{}", serde_json::to_string_pretty(value).map_err(Failure::work)?);
    Ok(())
}
