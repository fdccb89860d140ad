//! One experiment of a suite in a process of its own. Progress goes to standard output, one line of
//! `done total` per change, for the parent's bars.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regulus_trainer::device;
use regulus_trainer::experiment::{Experiment, ExperimentSpec, parse_toml, read_text};
use regulus_trainer::run::{Control, Inputs, Progress, run as run_materials};

use crate::failure::{Failure, Outcome};
use crate::image_store::image_store;
use crate::interrupt::Interruption;
use crate::on_device::OnDevice;

/// A suite whose process was killed leaves runs behind that evaluate or save before they end. The suite that goes on
/// waits for them, as nobody sits in front of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Arguments of the child process.
#[derive(clap::Args)]
pub struct Arguments {
    /// The experiment, as canonical TOML
    #[arg(long)]
    spec: PathBuf,
    /// Where to write the run
    #[arg(long)]
    folder: PathBuf,
    /// Device to run on
    #[arg(long)]
    device: String,
    /// Commit of the code, for the record
    #[arg(long)]
    commit: Option<String>,
    /// Folder where runs of one suite share rendered images
    #[arg(long)]
    rendered: Option<PathBuf>,
    /// Start anew whatever is there of the run
    #[arg(long)]
    fresh: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let experiment = read_experiment(&arguments.spec)?;
    let device = device::by_name(&arguments.device).map_err(Failure::request)?;
    let inputs = Inputs::check(&experiment, &device::kind(&arguments.device)).map_err(Failure::request)?;
    let on_device = OnDevice::of(&experiment, &inputs, &arguments.device, &device)?;
    let inputs = inputs.by_commit(arguments.commit.clone()).rendered_in(arguments.rendered.clone());
    let inputs = inputs.kept_in(image_store()?);
    let materials = on_device.work(|| inputs.load(&experiment, &device, &|_| {}).map_err(Failure::work))?;
    let asked = Interruption::listen()?;
    asked.stop_with_parent();
    let stop = || asked.asked();
    let mut tell = |progress| {
        if let Progress::Training { done, total } = progress {
            // A parent that went away needs no progress; the run stops after this step.
            let _ = writeln!(std::io::stdout(), "{done} {total}");
        }
    };
    let mut note = |message: &str| {
        let _ = writeln!(std::io::stderr(), "note: {message}");
    };
    let control = Control {
        stop: &stop,
        fresh: arguments.fresh,
        patience: PATIENCE,
        ..Control::watching(&mut tell, &mut note)
    };
    on_device.run(|| run_materials(&experiment, &materials, &arguments.folder, &device, control))?;
    Ok(())
}

fn read_experiment(path: &Path) -> Outcome<Experiment> {
    let text = read_text(path).map_err(Failure::request)?;
    let spec: ExperimentSpec = parse_toml(&text, &path.display().to_string()).map_err(Failure::request)?;
    Experiment::check(spec).map_err(Failure::request)
}
