//! Runs that read the original images again at every visit.

use std::path::Path;

use regulus_images::{RgbImage, encode_png};
use regulus_trainer::experiment::{Experiment, parse_toml};
use regulus_trainer::run::{self, Control, Inputs, Materials, RunError};
use regulus_trainer::training::TrainError;

use super::support::device;

/// Two classes of four training images and one test image, of 40 x 30 pixels.
fn write_images(folder: &Path) {
    for (number, class) in ["cat", "house"].iter().enumerate() {
        for (split, count) in [("train", 4), ("test", 1)] {
            let folder = folder.join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for index in 0..count {
                let pixels = (0..40 * 30 * 3).map(|at| (at * (3 + index) + number * 90) as u8).collect();
                let image = RgbImage::new(40, 30, pixels).unwrap();
                std::fs::write(folder.join(format!("{index}.png")), encode_png(&image).unwrap()).unwrap();
            }
        }
    }
}

fn experiment(data: &str, augmentation: &str) -> Experiment {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let text = format!(
        "seed = 1\nmodel = {{ path = {model:?} }}\ndata = {data}\nmethod = {{ name = \"finetune\" }}\n[training]\n\
         steps = 2\nbatch = 4\nlearning_rate = 1e-5\nschedule = {{ decay = \"constant\" }}\n\
         optimiser = {{ rule = \"adam-w\" }}\naugmentation = {augmentation}"
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).unwrap()
}

fn load(experiment: &Experiment) -> Materials {
    let inputs = Inputs::check(experiment, "cpu-f32").unwrap();
    inputs.load(experiment, &device(), &|_| {}).unwrap()
}

#[test]
fn an_image_that_is_deleted_while_a_run_trains_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (images, run) = (folder.path().join("images"), folder.path().join("run"));
    write_images(&images);
    let data = format!("{{ kind = \"folder\", path = {images:?}, hold_out = 0.0 }}");
    for (augmentation, reads) in [("\"flip\"", false), ("[\"rand-augment\"]", true)] {
        let experiment = experiment(&data, augmentation);
        let materials = load(&experiment);
        let away = folder.path().join("away");
        std::fs::rename(images.join("train"), &away).unwrap();
        let (mut progress, mut notice) = (|_| {}, |_: &str| {});
        let control = Control::watching(&mut progress, &mut notice);
        let outcome = run::run(&experiment, &materials, &run, &device(), control);
        std::fs::rename(&away, images.join("train")).unwrap();
        match outcome {
            Ok(_) => assert!(!reads),
            Err(RunError::Train(TrainError::Image { step: 0, source })) => {
                assert!(reads && source.path.starts_with(images.join("train")), "{source}");
                assert!(!run.join("outcome.json").exists(), "an unfinished run");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn originals_are_those_of_the_files_and_of_the_world() {
    let folder = tempfile::tempdir().unwrap();
    write_images(folder.path());
    let data = format!("{{ kind = \"folder\", path = {:?}, hold_out = 0.0 }}", folder.path());
    let materials = load(&experiment(&data, "[\"rand-augment\"]"));
    let preprocess = &materials.pretrained.preprocess;
    for index in 0..materials.task.train.len() {
        let original = materials.originals().original(index).unwrap();
        assert_eq!((original.width, original.height), (40, 30));
        assert_eq!(preprocess.square(&original).pixels, materials.task.train.image(index));
    }
    let data = "{ kind = \"world-bias\", strength = 0.85, test_images = 8 }";
    let materials = load(&experiment(data, "[\"rand-augment\"]"));
    let original = materials.originals().original(3).unwrap();
    assert_eq!((original.width, original.pixels.as_slice()), (32, materials.task.train.image(3)));
}
