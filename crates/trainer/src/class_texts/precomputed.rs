//! Features of class names that another program has computed: a small file that says which row is which class's.
//!
//! The file is a safetensors file. Its tensor `features` is `[classes, width]`, F32. Its metadata entry `class_names`
//! is a JSON list of one name per row. In Python:
//!
//! ```text
//! save_file({"features": features.float()}, path, metadata={"class_names": json.dumps(names)})
//! ```
//!
//! A row belongs to the class of its name, in whatever order; underscores count as blanks, as in class names from
//! folders, and case counts. There may be more classes than a data set has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use crate::experiment::nearest;

const TENSOR: &str = "features";
const NAMES: &str = "class_names";

/// A file of features that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrecomputedError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not of the format.
    #[error(
        "{}: {reason}; expected safetensors with a tensor `features` [classes, width] of F32 and metadata \
         `class_names`, a JSON list of one name per row", .path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A class has no row.
    #[error(
        "{}: no row for the class `{class}`{}", .path.display(),
        .nearest.as_ref().map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The class.
        class: String,
        /// The name in the file that looks most like it.
        nearest: Option<String>,
    },
}

/// Features of class names from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecomputedTexts {
    path: PathBuf,
    width: usize,
    rows: BTreeMap<String, Vec<f32>>,
}

impl PrecomputedTexts {
    /// Reads a file.
    ///
    /// # Errors
    /// [`PrecomputedError`] if the file cannot be read or is not of the format, if a name occurs twice, or if a row
    /// has a value that is no number, or no length.
    pub fn read(path: &Path) -> Result<Self, PrecomputedError> {
        Self::from_bytes(path, &bytes(path)?)
    }

    /// Reads a file that is in memory; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, PrecomputedError> {
        let fault = |reason: String| PrecomputedError::Format { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| fault(error.to_string()))?;
        let names = header.metadata().as_ref().and_then(|entries| entries.get(NAMES));
        let names = names.ok_or_else(|| fault(format!("no metadata `{NAMES}`")))?;
        let names: Vec<String> =
            serde_json::from_str(names).map_err(|error| fault(format!("metadata `{NAMES}`: {error}")))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| fault(error.to_string()))?;
        let tensor = tensors.tensor(TENSOR).map_err(|_| fault(format!("no tensor `{TENSOR}`")))?;
        let (width, shape) = match (tensor.dtype(), tensor.shape()) {
            (Dtype::F32, &[rows, width]) if rows == names.len() && rows > 0 && width > 0 => {
                (width, [rows, width])
            }
            (dtype, shape) => {
                let names = names.len();
                return Err(fault(format!("`{TENSOR}` is {dtype:?} {shape:?} for {names} names")));
            }
        };
        let values: Vec<f32> =
            tensor.data().as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let mut rows = BTreeMap::new();
        for (name, row) in names.iter().zip(values.chunks_exact(width)) {
            let usable = row.iter().all(|value| value.is_finite()) && row.iter().any(|value| *value != 0.0);
            if !usable {
                return Err(fault(format!(
                    "the row of `{name}` has no length, or a value that is no number"
                )));
            }
            if rows.insert(key(name), row.to_vec()).is_some() {
                return Err(fault(format!("`{name}` occurs twice among the {} names", shape[0])));
            }
        }
        Ok(Self { path: path.to_owned(), width, rows })
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether every class has a row.
    ///
    /// # Errors
    /// [`PrecomputedError::Missing`] with the first class that has none.
    pub fn check(&self, class_names: &[String]) -> Result<(), PrecomputedError> {
        class_names.iter().try_for_each(|name| self.row(name).map(|_| ()))
    }

    /// The rows of these classes, `[classes, width]`.
    ///
    /// # Errors
    /// [`PrecomputedError::Missing`] with the first class that has none.
    pub fn features(&self, class_names: &[String], device: &Device) -> Result<Tensor<2>, PrecomputedError> {
        let mut values = Vec::with_capacity(class_names.len() * self.width);
        for name in class_names {
            values.extend_from_slice(self.row(name)?);
        }
        Ok(Tensor::from_data(TensorData::new(values, [class_names.len(), self.width]), device))
    }

    fn row(&self, class: &str) -> Result<&[f32], PrecomputedError> {
        let key = key(class);
        self.rows.get(&key).map(Vec::as_slice).ok_or_else(|| PrecomputedError::Missing {
            path: self.path.clone(),
            nearest: nearest(&key, self.rows.keys().map(String::as_str)).map(str::to_owned),
            class: class.to_owned(),
        })
    }
}

fn key(name: &str) -> String {
    name.replace('_', " ")
}

pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, PrecomputedError> {
    std::fs::read(path).map_err(|source| PrecomputedError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;
    use std::collections::HashMap;

    fn file(names: &str, values: &[f32], shape: [usize; 2]) -> Vec<u8> {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
        let metadata = HashMap::from([(NAMES.to_owned(), names.to_owned())]);
        safetensors::serialize([(TENSOR, view)], Some(metadata)).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<PrecomputedTexts, PrecomputedError> {
        PrecomputedTexts::from_bytes(Path::new("texts.safetensors"), bytes)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_are_found_by_name() {
        let bytes = file(r#"["polar_bear", "cat", "dog"]"#, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2]);
        let texts = read(&bytes).unwrap();
        assert_eq!(texts.width(), 2);
        let found = texts.features(&names(&["dog", "polar bear"]), &device()).unwrap();
        assert_eq!(found.into_data_as::<f32>().iter::<f32>().collect::<Vec<_>>(), [5.0, 6.0, 1.0, 2.0]);
        let message = texts.check(&names(&["cat", "polar baer"])).unwrap_err().to_string();
        assert!(message.contains("`polar baer` (did you mean `polar bear`?)"), "{message}");
    }

    #[test]
    fn what_is_not_of_the_format_is_told() {
        for (bytes, part) in [
            (file("[\"a\"]", &[1.0, 2.0], [2, 1]), "[2, 1] for 1 names"),
            (file("[]", &[], [0, 3]), "for 0 names"),
            (file("\"a\"", &[1.0], [1, 1]), "metadata `class_names`"),
            (file("[\"a_b\", \"a b\"]", &[1.0, 2.0], [2, 1]), "occurs twice"),
            (file("[\"a\"]", &[0.0, 0.0], [1, 2]), "row of `a`"),
            (file("[\"a\"]", &[f32::NAN, 1.0], [1, 2]), "row of `a`"),
            (vec![1, 2, 3], "expected safetensors"),
        ] {
            let message = read(&bytes).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("texts.safetensors"), "{message}");
        }
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let plain = safetensors::serialize([(TENSOR, view)], None).unwrap();
        assert!(read(&plain).unwrap_err().to_string().contains("no metadata `class_names`"));
        assert!(
            PrecomputedTexts::read(Path::new("no/such/file"))
                .unwrap_err()
                .to_string()
                .contains("no/such/file")
        );
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors_or_texts(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            length: prop::sample::Index,
        ) {
            let mut bytes = file(r#"["polar_bear", "cat"]"#, &[1.0, 2.0, 3.0, 4.0], [2, 2]);
            for (place, value) in flips {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            let _ = read(&bytes);
            let _ = read(&bytes[..length.index(bytes.len())]);
        }
    }
}
