//! Results of the forward pass.

use crate::cases::{Inputs, Path, all, devices, distance, values};
use crate::exact;

#[test]
fn results_agree_with_f64() {
    for device in devices() {
        for case in all() {
            let inputs = case.inputs();
            let exact_inputs: Vec<Vec<f64>> =
                inputs.iter().map(|values| values.iter().map(|&v| f64::from(v)).collect()).collect();
            let expected = exact::result(&case, &exact_inputs);
            for device in [device.clone(), device.clone().autodiff()] {
                for path in [Path::Fused, Path::Plain] {
                    let got = values(case.apply(&Inputs::new(&case, &inputs, &device), path));
                    let distance = distance(&got, &expected);
                    assert!(distance < 1e-5, "{case:?}, {path:?}: {distance}");
                }
            }
        }
    }
}
