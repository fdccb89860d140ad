//! Earlier stages: each is a run of its own below the folder of the run that stands on it.

use sha2::{Digest, Sha256};

use super::{Control, Run, RunError};
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
    let stage_run = Run { experiment: &stage, identity: &identity, folder: &folder, ..*run };
    (control.notice)(&format!("training {label} first, in {}", folder.display()));
    let parameters = stage_run.finish(control)?.parameters;
    let bare = spec.before.is_none() && !matches!(spec.method, MethodSpec::Joint(_));
    Ok(if bare { parameters.prefixed(&prefix_of(&label)) } else { parameters })
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
