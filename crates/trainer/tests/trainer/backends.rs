//! One method of each system, trained in the built-in world on every backend of this build, against the processor with
//! its kernels (flex): the loss of every step and the accuracies at the end.

use regulus_trainer::device::{Backend, by_name};

use crate::precision::{distance, trained_on};

const STEPS: usize = 8;

/// A method of each system, and the largest distance of a loss, relative to it. Found were 2.5e-7, 1.5e-7, 5.4e-7 and
/// 4.1e-7.
///
/// The kernels sum in another order than the plain formulas of the other backends do, and rounding grows along a
/// trajectory. Masks turn on and off as their values cross the threshold, so that a rounding there is a step.
const SYSTEMS: [(&str, f64); 4] = [
    (r#"{ name = "proreg", form = "prob", alpha = 2.0 }"#, 3e-6),
    (r#"{ name = "tes", tau = 0.03, lambda_v = 0.1, lambda_t = 0.3 }"#, 3e-6),
    (r#"{ name = "r-mt", part = "attention", dropout = { lambda = 1.0 } }"#, 5e-6),
    (
        r#"{ name = "promptsrc", image = { layers = 4, vectors = 4 }, text = { layers = 2, vectors = 4 } }"#,
        3e-6,
    ),
];

/// The backends under test: those that `REGULUS_TEST_DEVICES` names, else all that have a device here.
fn backends() -> Vec<String> {
    let others = |name: &String| !["cpu", "flex"].contains(&name.as_str());
    match std::env::var("REGULUS_TEST_DEVICES") {
        Ok(names) => names.split(',').map(str::to_owned).filter(others).collect(),
        Err(_) => {
            let here = Backend::ALL.into_iter().filter(|backend| !backend.devices().is_empty());
            here.map(|backend| backend.name().to_owned()).filter(others).collect()
        }
    }
}

#[test]
fn every_backend_takes_the_same_steps() {
    let (backends, processor) = (backends(), by_name("flex").unwrap());
    assert!(!backends.is_empty(), "no backend but flex is under test");
    for (method, tolerance) in SYSTEMS {
        let (expected, reference) = trained_on("cpu", &processor, method, STEPS, "f32", "f32");
        assert_eq!(expected.len(), STEPS);
        assert!(expected[STEPS - 1] != expected[0], "nothing is learned: {expected:?}");
        for backend in &backends {
            let (found, outcome) =
                trained_on(backend, &by_name(backend).unwrap(), method, STEPS, "f32", "f32");
            assert_eq!(outcome.device, format!("{backend}-f32"));
            assert_ne!(outcome.identity, reference.identity);
            let off = distance(&found, &expected);
            println!("{backend} {method}: {off:.1e}");
            assert!(off <= tolerance, "{backend} {method}: losses deviate by {off:.1e}");
            for (ours, theirs) in outcome.splits.iter().zip(&reference.splits) {
                let images = ours.images as f64;
                let differing = (ours.scores.accuracy - theirs.scores.accuracy).abs() * images / 100.0;
                assert!(
                    differing <= 1.0 + 1e-9,
                    "{backend} {method}: {differing} images of {} differ",
                    ours.split
                );
            }
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn a_device_that_runs_out_of_memory_says_so() {
    use burn::tensor::Tensor;
    use regulus_trainer::device::{DeviceFailure, guarded};

    // Eight gibibytes in one piece: more than a buffer of Vulkan's may have.
    const VALUES: usize = 1 << 31;
    let device = by_name("wgpu").unwrap();
    let failure =
        guarded(|| (Tensor::<1>::zeros([VALUES], &device) + 1.0).narrow(0, 0, 1).into_scalar::<f32>())
            .unwrap_err();
    assert!(matches!(failure, DeviceFailure::OutOfMemory { .. }), "{failure}");
    println!("{failure}");
}
