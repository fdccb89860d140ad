//! What can be wrong with the files that list a data set, one variant per cause.

use std::path::PathBuf;

use super::files::MissingImage;
use super::relative_path::PathFault;

/// Why a data set could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file or folder that a data set consists of is not there.
    #[error("{dataset} needs {}, which is not there: {how}", path.display())]
    Absent {
        /// The data set.
        dataset: String,
        /// What is missing.
        path: PathBuf,
        /// How to get it.
        how: String,
    },
    /// An entry whose path is not one inside the data set.
    #[error("{entry} names the path `{path}`, which is refused: {fault}")]
    UnsafePath {
        /// The file and the entry in it.
        entry: String,
        /// The path, with unprintable bytes escaped.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A file that does not have the form that it should have.
    #[error("{entry}: {reason}")]
    Malformed {
        /// The file, and the entry in it where one is at fault.
        entry: String,
        /// What was found, and what was expected.
        reason: String,
    },
    /// A label under two names.
    #[error("{entry} calls label {label} `{second}`, and an entry before it `{first}`: a label has one name")]
    LabelWithTwoNames {
        /// The file and the entry in it.
        entry: String,
        /// The label.
        label: usize,
        /// Its name in the first entry with this label.
        first: String,
        /// Its name here.
        second: String,
    },
    /// A label below the largest that no entry has, so that it has no name.
    #[error("{}: label {label} of {labels} has no image in any split, so that it has no name", file.display())]
    LabelWithoutName {
        /// The file.
        file: PathBuf,
        /// The label.
        label: usize,
        /// One more than the largest label.
        labels: usize,
    },
    /// A class that the list of the classes does not have.
    #[error("{entry} has the class `{class}`, which {} does not list", list.display())]
    UnknownClass {
        /// The entry, or the folder that is named after the class.
        entry: String,
        /// The class.
        class: String,
        /// The file that lists the classes.
        list: PathBuf,
    },
    /// A folder that should hold classes or images holds none.
    #[error("{} holds no {expected}", path.display())]
    Empty {
        /// The folder or file.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
    },
    /// Listed images that are not there.
    #[error("{count} listed images are missing; the first is {first}")]
    MissingImages {
        /// The first of them.
        first: MissingImage,
        /// How many there are.
        count: usize,
    },
}

impl ListingError {
    pub(crate) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unreadable { path, source }
    }
}
