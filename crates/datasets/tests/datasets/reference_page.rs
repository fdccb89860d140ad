//! The reference page holds a table of the registry. It is made here, so that it cannot go stale.

use regulus_datasets::published::{self, PublishedDataset};

/// Number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn row(dataset: &PublishedDataset) -> String {
    let splits: Vec<String> = dataset
        .splits
        .iter()
        .map(|split| match split.images {
            Some(images) => format!("{} {}", split.name, grouped(images)),
            None => format!("{} (not known)", split.name),
        })
        .collect();
    let templates: Vec<String> =
        dataset.templates.iter().map(|t| format!("`{}` ({})", t.text, t.from)).collect();
    let size = dataset.megabytes.map_or_else(|| "not known".to_owned(), |size| grouped(size as usize));
    let cells = [
        format!("`{}`", dataset.name),
        format!("[{}]({})", dataset.title, dataset.homepage),
        format!("`{}/`", dataset.folders[0]),
        dataset.layout.to_string(),
        dataset.classes.count.to_string(),
        format!("{}; {}", splits.join(", "), dataset.counts_from),
        templates.join(", "),
        size,
        dataset.licence.to_owned(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn table() -> String {
    let mut table =
        "| Name | Data set | Folder | Layout | Classes | Images; published in | Templates | MB | Licence |\n\
                     | --- | --- | --- | --- | ---: | --- | --- | ---: | --- |\n"
            .to_owned();
    published::list().for_each(|dataset| table.push_str(&row(dataset)));
    table
}

/// With `REGULUS_WRITE_REFERENCE` set, the table is written instead of compared.
#[test]
fn the_page_has_the_table_of_the_registry() {
    const BEGIN: &str = "<!-- table of the registry -->\n\n";
    const END: &str = "\n<!-- end of the table -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/datasets.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("REGULUS_WRITE_REFERENCE").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(found, table(), "run this test once with REGULUS_WRITE_REFERENCE=1");
}
