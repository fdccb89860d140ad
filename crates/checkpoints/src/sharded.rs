//! A checkpoint in several files: a JSON index names the shard of every tensor.

use crate::checkpoint::Checkpoint;
use crate::container::Container;
use crate::error::CheckpointError;
use std::collections::BTreeMap;
use std::path::{Component, Path};

#[derive(serde::Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// Opens the shards that the index `json` at `path` names. They lie in the same folder.
pub(crate) fn open(json: &[u8], path: &Path) -> Result<Checkpoint, CheckpointError> {
    let Index { weight_map } = serde_json::from_slice(json).map_err(|error| {
        if error.is_data() {
            CheckpointError::NotACheckpoint {
                path: path.into(),
                found: "a JSON file without a `weight_map` from tensors to files".into(),
                advice: "open the weights or their `.index.json`",
            }
        } else {
            CheckpointError::Format { path: path.into(), format: "JSON", reason: error.to_string() }
        }
    })?;
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &weight_map {
        expected.entry(file).or_default().push(tensor);
    }
    let disagree = |reason: String| CheckpointError::Shards { path: path.into(), reason };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::with_capacity(expected.len());
    for (file, tensors) in expected {
        if !is_plain_name(file) {
            return Err(disagree(format!("{file:?} is not a plain file name; shards lie beside the index")));
        }
        let shard = Checkpoint::open_shard(&folder.join(file))?;
        if let Some(missing) = tensors.into_iter().find(|tensor| shard.tensor(tensor).is_none()) {
            return Err(disagree(format!("{missing} is not in {file}, where the index says it is")));
        }
        if let Some((stray, _)) =
            shard.tensors().find(|(tensor, _)| weight_map.get(*tensor).is_none_or(|f| f != file))
        {
            return Err(disagree(format!("{stray} is in {file}, but the index does not say so")));
        }
        shards.push(shard);
    }
    let container = match shards.first().map(Checkpoint::container) {
        None => return Err(disagree("the index names no tensors".into())),
        Some(Container::Safetensors) => Container::ShardedSafetensors,
        Some(_) => Container::ShardedTorch,
    };
    Ok(Checkpoint::join(path, container, shards))
}

/// Whether `name` stays in its folder on every system.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cannot_leave_the_folder() {
        assert!(is_plain_name("model-00001-of-00002.safetensors"));
        for name in ["", ".", "..", "../a", "/a", "a/b", "a\\b", "C:a", "a/", "a\0"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
