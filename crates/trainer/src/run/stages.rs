//! Earlier stages: each is a run of its own below the folder of the run that stands on it.

use std::path::Path;

use burn::tensor::Device;
use sha2::{Digest, Sha256};

use super::{ADAPTER, Control, Outcome, Run, RunError};
use crate::adapter::Adapter;
use crate::experiment::MethodSpec;
use crate::parameters::Parameters;
use crate::training_groups::prefix_of;

/// What the stage before a run has trained, under the names that it has in the run; nothing if there is no stage. A
/// stage that an earlier process has finished is not trained again.
pub(super) fn trained_before(run: &Run<'_>, control: &mut Control<'_>) -> Result<Parameters, RunError> {
    let Some(stage) = run.experiment.before() else { return Ok(Parameters::default()) };
    let spec = stage.spec();
    let label = spec.method.label();
    let folder = run.folder.join(format!("stage-{label}"));
    let identity = identity_of(run.identity, &label);
    let finished = if control.fresh { None } else { finished(&folder, &identity, run.device, control) };
    let parameters = match finished {
        Some(parameters) => parameters,
        None => {
            (control.notice)(&format!("training {label} first, in {}", folder.display()));
            Run { experiment: &stage, identity: &identity, folder: &folder, ..*run }
                .finish(control)?
                .parameters
        }
    };
    let bare = spec.before.is_none() && !matches!(spec.method, MethodSpec::Joint(_));
    Ok(if bare { parameters.prefixed(&prefix_of(&label)) } else { parameters })
}

/// What the stage in `folder` has trained, if it has finished. One that cannot be read is trained again.
fn finished(folder: &Path, identity: &str, device: &Device, control: &mut Control<'_>) -> Option<Parameters> {
    let outcome = Outcome::of_finished(folder).ok().flatten();
    outcome.filter(|outcome| outcome.identity == identity)?;
    match Adapter::load(&folder.join(ADAPTER), device) {
        Ok(adapter) => Some(adapter.parameters),
        Err(error) => {
            (control.notice)(&format!("the finished stage cannot be used: {error}"));
            None
        }
    }
}

/// A stage's identity follows from that of its run.
fn identity_of(run: &str, label: &str) -> String {
    let mut hash = Sha256::new();
    for part in [run, label] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
