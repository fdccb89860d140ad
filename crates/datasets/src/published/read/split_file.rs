//! The split files of CoOp: a JSON object with the lists `train`, `val` and `test` of `[path, label, class name]`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Place, read_bytes};
use crate::listing::{DatasetListing, Entry, EntryUnit, Images, ListingError, Origin, relative, shown};

/// Longest split file, in bytes. That of SUN397 has about 5 million.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Deserialize)]
struct SplitFile<'a> {
    #[serde(borrow)]
    train: Vec<Row<'a>>,
    #[serde(borrow)]
    val: Vec<Row<'a>>,
    #[serde(borrow)]
    test: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Label<'a>, #[serde(borrow)] Cow<'a, str>);

/// The official reader takes whatever Python's `int` takes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Label<'a> {
    Number(u32),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Label<'_> {
    fn number(&self) -> Option<usize> {
        match self {
            Self::Number(number) => usize::try_from(*number).ok(),
            Self::Text(text) => {
                text.trim().parse::<u32>().ok().and_then(|number| usize::try_from(number).ok())
            }
        }
    }
}

/// Lists a data set by its split file.
pub(super) fn read(place: &Place, folder: &str, file: &str) -> Result<DatasetListing, ListingError> {
    let path = place.folder.join(file);
    let bytes = read_bytes(&path, MAX_BYTES)?;
    let split: SplitFile<'_> = serde_json::from_slice(&bytes).map_err(|error| ListingError::Malformed {
        entry: path.display().to_string(),
        reason: format!(
            "{error}; expected {{\"train\": [[\"path\", 0, \"class\"], ...], \"val\": [...], \"test\": [...]}}"
        ),
    })?;
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    let mut splits = Vec::new();
    for (name, rows) in [("train", split.train), ("val", split.val), ("test", split.test)] {
        let origin = Origin { file: path.clone(), unit: EntryUnit::Element(name.to_owned()) };
        let mut images = Images::default();
        for (number, row) in rows.iter().enumerate() {
            let entry = || format!("{}, {name}[{number}]", path.display());
            let label = check_row(row, &mut names, entry)?;
            let inside = relative(row.0.as_bytes()).map_err(|fault| ListingError::UnsafePath {
                entry: entry(),
                path: shown(row.0.as_bytes()),
                fault,
            })?;
            let whole =
                if folder.is_empty() { inside } else { [folder.as_bytes(), &inside].join(&b'/').into() };
            images.push(&whole, Entry { label, number, ..Entry::default() }, Some(&origin));
        }
        splits.push((name, images));
    }
    let labels = names.last_key_value().map_or(0, |(&largest, _)| largest + 1);
    if let Some(label) = names.keys().enumerate().find(|&(at, &label)| at != label).map(|(at, _)| at) {
        return Err(ListingError::LabelWithoutName { file: path, label, labels });
    }
    place.listing(names.into_values().collect(), splits)
}

/// The label of a row, whose name has to be that of every row with this label.
fn check_row(
    row: &Row<'_>,
    names: &mut BTreeMap<usize, String>,
    entry: impl Fn() -> String,
) -> Result<usize, ListingError> {
    let Some(label) = row.1.number() else {
        return Err(ListingError::Malformed {
            entry: entry(),
            reason: "the label is no whole number".to_owned(),
        });
    };
    let known = names.entry(label).or_insert_with(|| row.2.clone().into_owned());
    if *known != *row.2 {
        let (first, second) = (known.clone(), row.2.clone().into_owned());
        return Err(ListingError::LabelWithTwoNames { entry: entry(), label, first, second });
    }
    Ok(label)
}
