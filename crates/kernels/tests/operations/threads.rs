//! Results do not depend on the number of threads.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{Gelu, MatmulPrecision, multiplying_in};

use crate::cases::{Case, Inputs, Operation, Path, all, noise, values};

/// The bits of a result and of all gradients, computed by a pool of the given size.
fn bits(case: &Case, threads: usize, precision: MatmulPrecision) -> Vec<Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let device = Device::flex().autodiff();
        let inputs = Inputs::new(case, &case.inputs(), &device).require_grad();
        let result = multiplying_in(precision, || case.apply(&inputs, Path::Fused));
        let cotangent = TensorData::new(noise(result.shape().num_elements(), 5), result.shape());
        let gradients = (result.clone() * Tensor::from_data(cotangent, &device)).sum().backward();
        let mut all = vec![values(result), values(inputs.x.grad(&gradients).unwrap())];
        all.extend(inputs.matrix.map(|matrix| values(matrix.grad(&gradients).unwrap())));
        all.extend(inputs.vectors.iter().map(|vector| values(vector.grad(&gradients).unwrap())));
        all.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
    })
}

#[test]
fn bits_do_not_depend_on_the_threads() {
    let large = |operation| Case { operation, batch: 5, tokens: 77, width: 96, bias: true };
    let activated = Operation::LinearGelu { out: 300, gelu: Gelu::Quick };
    let large =
        [Operation::Linear { out: 300 }, activated, Operation::LayerNorm, Operation::GeluErf].map(large);
    for case in all().into_iter().chain(large) {
        for precision in MatmulPrecision::ALL {
            let one = bits(&case, 1, precision);
            assert!(one == bits(&case, 2, precision), "{case:?} in {precision}");
            assert!(one == bits(&case, 5, precision), "{case:?} in {precision}");
        }
    }
}
