//! Which augmentations can be carried out.

use regulus_images::Preprocess;
use regulus_images::augment::{PaddedCrop, RandAugment};

use super::check::Faults;
use crate::augmentation::{Augmentation, PartOfImage, Step};

/// Most operations of RandAugment per image.
const MOST_OPERATIONS: usize = 100;

impl Augmentation {
    pub(super) fn check(&self, faults: &mut Faults) {
        let Self::Steps(steps) = self else { return };
        for (index, step) in steps.iter().enumerate() {
            let name = step.name();
            // A step draws from the stream of its name: twice the same would be changed alike.
            if steps[..index].iter().any(|earlier| earlier.name() == name) {
                faults.add("training.augmentation", format!("holds {name} twice; keep one"));
            }
            step.check(&format!("training.augmentation.{name}"), faults);
        }
    }
}

impl Step {
    fn check(&self, key: &str, faults: &mut Faults) {
        match self {
            Self::RandAugment(RandAugment { operations, magnitude }) => {
                let fits = (1..=MOST_OPERATIONS).contains(operations);
                let message = format!("is {operations}; expected 1 to {MOST_OPERATIONS}");
                faults.require(fits, &format!("{key}.operations"), message);
                let fits = (0.0..=RandAugment::MAX_MAGNITUDE).contains(magnitude);
                let message = format!("is {magnitude}; expected 0 to {}", RandAugment::MAX_MAGNITUDE);
                faults.require(fits, &format!("{key}.magnitude"), message);
            }
            Self::RandomResizedCrop(PartOfImage { scale, ratio }) => {
                let in_order = |[low, high]: [f64; 2]| 0.0 < low && low <= high && high.is_finite();
                let message =
                    format!("is {scale:?}; expected smallest and largest share, above 0 and up to 1");
                faults.require(in_order(*scale) && scale[1] <= 1.0, &format!("{key}.scale"), message);
                let message = format!("is {ratio:?}; expected smallest and largest ratio, above 0");
                faults.require(in_order(*ratio), &format!("{key}.ratio"), message);
            }
            Self::PaddedCrop(PaddedCrop { padding }) => {
                let fits = (1..=Preprocess::MAX_SIDE).contains(padding);
                let message = format!("is {padding}; expected 1 to {}", Preprocess::MAX_SIDE);
                faults.require(fits, &format!("{key}.padding"), message);
            }
            Self::Flip => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, ExperimentSpec, parse_toml};

    fn check(augmentation: &str) -> Result<Experiment, Vec<(String, String)>> {
        let text = format!(
            "seed = 1\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"world-bias\", strength = 0.85 }}\n\
             method = {{ name = \"finetune\" }}\n[training]\nsteps = 1\nbatch = 1\nlearning_rate = 1e-4\n\
             schedule = {{ decay = \"constant\" }}\noptimiser = {{ rule = \"adam\" }}\n\
             augmentation = {augmentation}"
        );
        let spec: ExperimentSpec = parse_toml(&text, "test").unwrap();
        let faults = |faults: super::super::ExperimentFaults| {
            faults.0.into_iter().map(|fault| (fault.key, fault.message)).collect()
        };
        Experiment::check(spec).map_err(faults)
    }

    #[test]
    fn what_can_be_carried_out_passes() {
        for augmentation in [
            "\"none\"",
            "\"flip\"",
            "[\"rand-augment\", \"random-resized-crop\", \"flip\"]",
            "[\"flip\", { padded-crop = { padding = 4096 } }]",
            "[{ rand-augment = { operations = 100, magnitude = 30 } }]",
            "[{ random-resized-crop = { scale = [1, 1], ratio = [0.1, 100] } }]",
        ] {
            assert!(check(augmentation).is_ok(), "{augmentation}");
        }
    }

    #[test]
    fn every_fault_names_its_key() {
        for (augmentation, key) in [
            ("[{ rand-augment = { operations = 0 } }]", "rand-augment.operations"),
            ("[{ rand-augment = { operations = 101 } }]", "rand-augment.operations"),
            ("[{ rand-augment = { magnitude = 30.1 } }]", "rand-augment.magnitude"),
            ("[{ rand-augment = { magnitude = -1 } }]", "rand-augment.magnitude"),
            ("[{ rand-augment = { magnitude = nan } }]", "rand-augment.magnitude"),
            ("[{ random-resized-crop = { scale = [0, 1] } }]", "random-resized-crop.scale"),
            ("[{ random-resized-crop = { scale = [0.5, 0.4] } }]", "random-resized-crop.scale"),
            ("[{ random-resized-crop = { scale = [0.5, 1.1] } }]", "random-resized-crop.scale"),
            ("[{ random-resized-crop = { ratio = [1, inf] } }]", "random-resized-crop.ratio"),
            ("[{ random-resized-crop = { ratio = [nan, 1] } }]", "random-resized-crop.ratio"),
            ("[{ padded-crop = { padding = 0 } }]", "padded-crop.padding"),
            ("[{ padded-crop = { padding = 4097 } }]", "padded-crop.padding"),
        ] {
            let faults = check(augmentation).unwrap_err();
            assert_eq!(faults.len(), 1, "{augmentation}: {faults:?}");
            assert_eq!(faults[0].0, format!("training.augmentation.{key}"));
        }
        let twice = check("[\"padded-crop\", \"flip\", \"padded-crop\"]").unwrap_err();
        assert_eq!(twice[0].1, "holds padded-crop twice; keep one");
    }
}
