//! Checkpoints of a run that is not finished. Two files take turns, so that one whole checkpoint is there whatever
//! happens while the other is written.

mod card;
mod read;
mod write;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

pub use read::Damage;

use self::read::Whole;
use crate::files::remove_parts;
use crate::stored_values::WriteFault;
use crate::training_state::TrainingState;

/// A checkpoint: the state of training, and how far the record had come.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The state of training.
    pub state: TrainingState,
    /// Length of `metrics.jsonl` in bytes: what stands behind was recorded after the checkpoint.
    pub metrics_bytes: u64,
    /// Seconds spent on the run so far.
    pub seconds: f64,
}

/// A checkpoint that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be written.
    #[error("cannot write the checkpoint {path}: {source}; make room and run the same command again")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The state cannot be encoded.
    #[error("cannot encode the checkpoint {path}: {reason}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    paths: [PathBuf; 2],
    identity: String,
    /// Which of the two is written next.
    next: usize,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest checkpoint that is whole.
    pub newest: Option<Saved>,
    /// Files that are not, with the reason.
    pub damaged: Vec<(PathBuf, Damage)>,
}

impl Checkpoints {
    /// The checkpoints in the folder of the run with this identity.
    pub fn in_folder(folder: &Path, identity: &str) -> Self {
        let paths = ["checkpoint-a.safetensors", "checkpoint-b.safetensors"].map(|name| folder.join(name));
        Self { paths, identity: identity.to_owned(), next: 0 }
    }

    /// Reads what is there, and removes parts that killed processes have left. The next [`save`](Self::save) will not
    /// replace what is returned. `metrics_bytes` is the present length of `metrics.jsonl`: a checkpoint that counts on
    /// more is of no use.
    pub fn find(&mut self, metrics_bytes: u64, device: &Device) -> Found {
        let mut found = Found::default();
        let mut whole = Vec::new();
        self.paths.iter().for_each(|path| remove_parts(path));
        for (place, path) in self.paths.iter().enumerate() {
            match Whole::open(path, &self.identity) {
                Ok(None) => {}
                Ok(Some(file)) if file.metrics_bytes() > metrics_bytes => {
                    let reason = "metrics.jsonl is shorter than it was";
                    found.damaged.push((path.clone(), Damage(reason.into())));
                }
                Ok(Some(file)) => whole.push((place, path, file)),
                Err(damage) => found.damaged.push((path.clone(), damage)),
            }
        }
        whole.sort_by_key(|(_, _, file)| Reverse(file.done()));
        for (place, path, mut file) in whole {
            match file.saved(device) {
                Ok(saved) => {
                    found.newest = Some(saved);
                    self.next = 1 - place;
                    break;
                }
                Err(damage) => found.damaged.push((path.clone(), damage)),
            }
        }
        found
    }

    /// Writes a checkpoint in the place of the older one, as a whole or not at all.
    ///
    /// # Errors
    /// [`CheckpointError`] with the file.
    pub fn save(&mut self, saved: &Saved) -> Result<(), CheckpointError> {
        let path = &self.paths[self.next];
        // What follows, here and when training has ended, has other sizes than what the steps have used.
        regulus_kernels::release_memory();
        write::write(saved, &self.identity, path).map_err(|fault| match fault {
            WriteFault::File(source) => CheckpointError::Write { path: path.clone(), source },
            WriteFault::Encode(reason) => CheckpointError::Encode { path: path.clone(), reason },
        })?;
        self.next = 1 - self.next;
        Ok(())
    }

    /// Removes both, where the run has finished or starts anew.
    ///
    /// # Errors
    /// [`CheckpointError::Write`] if one is there and stays.
    pub fn remove(&self) -> Result<(), CheckpointError> {
        for path in &self.paths {
            remove_parts(path);
            match std::fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CheckpointError::Write { path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Memory;
    use crate::parameters::Parameters;
    use crate::selection::Selected;
    use crate::testing::{close, device, tensor};
    use crate::training_state::AggregateState;
    use std::collections::BTreeMap;

    fn saved(done: usize) -> Saved {
        let device = device();
        let mut parameters = Parameters::default();
        parameters.insert(
            "a.weight",
            tensor(&[done as f32, -0.0, f32::MIN_POSITIVE, 0.1], &device),
            vec![2, 2],
        );
        parameters.insert("b", tensor(&[2.5], &device), vec![1]);
        let mut chosen = Parameters::default();
        chosen.insert("b", tensor(&[-1.5], &device), vec![1]);
        let memory =
            Memory { steps: 7, first: tensor(&[0.5; 4], &device), second: Some(tensor(&[0.25; 4], &device)) };
        let state = TrainingState {
            done,
            parameters,
            memory: BTreeMap::from([("a.weight".to_owned(), memory)]),
            aggregate: Some(AggregateState { added: 2, sum: vec![0.1, -3.0, 1e-300, 4.0, 5.0] }),
            buffers: BTreeMap::from([("bn.running_mean".to_owned(), tensor(&[0.75], &device))]),
            selected: Some(Selected {
                accuracy: 100.0 / 3.0,
                done: 2,
                parameters: chosen,
                buffers: BTreeMap::new(),
            }),
        };
        Saved { state, metrics_bytes: 10, seconds: 1.5 }
    }

    fn found(folder: &Path, identity: &str) -> Found {
        Checkpoints::in_folder(folder, identity).find(10, &device())
    }

    #[test]
    fn the_newest_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::in_folder(folder.path(), "me");
        assert!(found(folder.path(), "me").newest.is_none());
        (3..6).for_each(|done| checkpoints.save(&saved(done)).unwrap());
        let back = found(folder.path(), "me").newest.unwrap();
        let state = back.state;
        assert_eq!((state.done, back.metrics_bytes, back.seconds), (5, 10, 1.5));
        assert_eq!(state.parameters["a.weight"].shape, [2, 2]);
        close(&state.parameters["a.weight"].value, &[5.0, -0.0, f32::MIN_POSITIVE, 0.1], 0.0);
        assert_eq!(state.aggregate, saved(5).state.aggregate);
        close(&state.buffers["bn.running_mean"], &[0.75], 0.0);
        let chosen = state.selected.unwrap();
        assert_eq!((chosen.accuracy, chosen.done, chosen.parameters.iter().count()), (100.0 / 3.0, 2, 1));
        close(&chosen.parameters["b"].value, &[-1.5], 0.0);
        let memory = &state.memory["a.weight"];
        assert_eq!((memory.steps, state.memory.len()), (7, 1));
        close(memory.second.as_ref().unwrap(), &[0.25; 4], 0.0);
    }

    #[test]
    fn a_damaged_one_is_told_and_the_one_before_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::in_folder(folder.path(), "me");
        checkpoints.save(&saved(3)).unwrap();
        checkpoints.save(&saved(4)).unwrap();
        let newest = folder.path().join("checkpoint-b.safetensors");
        let whole = std::fs::read(&newest).unwrap();
        for place in [0, 9, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&newest, bytes).unwrap();
            let found = found(folder.path(), "me");
            assert_eq!(found.newest.unwrap().state.done, 3, "a bit changed at {place}");
            assert_eq!(found.damaged[0].0, newest);
        }
        for length in [0, 7, whole.len() - 1] {
            std::fs::write(&newest, &whole[..length]).unwrap();
            assert_eq!(found(folder.path(), "me").newest.unwrap().state.done, 3, "cut to {length}");
        }
        // The whole one is kept when the next is written.
        checkpoints.find(10, &device());
        checkpoints.save(&saved(5)).unwrap();
        assert_eq!(found(folder.path(), "me").newest.unwrap().state.done, 5);
        std::fs::remove_file(&newest).unwrap();
        assert_eq!(found(folder.path(), "me").newest.unwrap().state.done, 3);
    }

    #[test]
    fn hostile_lengths_are_refused_and_parts_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        Checkpoints::in_folder(folder.path(), "me").save(&saved(3)).unwrap();
        let whole = folder.path().join("checkpoint-a.safetensors");
        let part = folder.path().join("checkpoint-b.safetensors.17.part");
        std::fs::write(&part, "half").unwrap();
        let bytes = std::fs::read(&whole).unwrap();
        for length in [u64::MAX, 1 << 40, 100_000_001, 100_000_000, bytes.len() as u64 - 7, 0] {
            let hostile = [&length.to_le_bytes(), &bytes[8..]].concat();
            std::fs::write(&whole, hostile).unwrap();
            let found = found(folder.path(), "me");
            assert!(found.newest.is_none() && found.damaged.len() == 1, "{length}");
        }
        assert!(!part.exists());
    }

    #[test]
    fn those_of_other_runs_and_records_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        Checkpoints::in_folder(folder.path(), "me").save(&saved(3)).unwrap();
        assert!(found(folder.path(), "you").newest.is_none());
        let short = Checkpoints::in_folder(folder.path(), "me").find(9, &device());
        assert!(short.newest.is_none() && short.damaged.len() == 1);
        Checkpoints::in_folder(folder.path(), "me").remove().unwrap();
        assert!(found(folder.path(), "me").damaged.is_empty());
    }
}
