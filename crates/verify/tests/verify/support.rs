//! Cases of the repository, and copies of them that tests may spoil.

use burn::tensor::Device;
use regulus_trainer::device::by_name;
use regulus_verify::{Case, CaseReport, find_cases, verify};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Recorded models.
pub const MODELS: &str = "../clip/tests/golden";
/// Recorded trajectories.
pub const TRAJECTORIES: &str = "../trainer/tests/golden";

pub fn recorded(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// The device under test: the first of `REGULUS_TEST_DEVICES`, or `flex`.
pub fn device() -> Device {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".into());
    by_name(names.split(',').next().unwrap()).unwrap()
}

/// The report of the only case below `folder`.
pub fn report(folder: &Path) -> CaseReport {
    let cases = find_cases(folder).unwrap();
    assert_eq!(cases.len(), 1, "{cases:?}");
    verify(&cases[0], &device())
}

pub fn reports(folder: &str) -> Vec<CaseReport> {
    find_cases(&recorded(folder)).unwrap().iter().map(|case: &Case| verify(case, &device())).collect()
}

/// A copy of the folder `name` of recorded models.
pub fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(recorded(MODELS).join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Rewrites a safetensors file.
pub fn edit(path: &Path, edit: impl Fn(&mut Tensors)) {
    let bytes = fs::read(path).unwrap();
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    edit(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Adds `amount` to the first value of a tensor of f32.
pub fn nudge(path: &Path, tensor: &str, amount: f32) {
    edit(path, |tensors| {
        let data = &mut tensors.get_mut(tensor).unwrap().2;
        let value = f32::from_le_bytes(data[..4].try_into().unwrap()) + amount;
        data[..4].copy_from_slice(&value.to_le_bytes());
    });
}
