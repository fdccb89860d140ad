//! Results do not depend on the number of threads.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{Gelu, MatmulPrecision, conv2d, multiplying_in};

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

/// The bits of a convolution and of its gradients.
fn convolved(sizes: [usize; 7], threads: usize, precision: MatmulPrecision) -> Vec<Vec<u32>> {
    let [batch, inputs, outputs, height, side, stride, padding] = sizes;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let device = Device::flex().autodiff();
        let tensor = |shape: [usize; 4], seed| {
            Tensor::<4>::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), &device)
        };
        let x = tensor([batch, inputs, height, height], 1).require_grad();
        let weight = tensor([outputs, inputs, side, side], 2).require_grad();
        let result = multiplying_in(precision, || conv2d(x.clone(), weight.clone(), None, stride, padding));
        let gradients = (result.clone() * tensor(result.dims(), 3)).sum().backward();
        let all = [result, x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap()];
        all.map(|tensor| values(tensor).into_iter().map(f32::to_bits).collect()).to_vec()
    })
}

#[test]
fn bits_of_convolutions_do_not_depend_on_the_threads() {
    for sizes in
        [[7, 3, 40, 13, 3, 1, 1], [5, 3, 40, 29, 3, 2, 1], [9, 40, 70, 7, 3, 1, 1], [3, 20, 30, 30, 1, 1, 0]]
    {
        for precision in MatmulPrecision::ALL {
            let one = convolved(sizes, 1, precision);
            for threads in [2, 5] {
                assert!(one == convolved(sizes, threads, precision), "{sizes:?} in {precision}");
            }
        }
    }
}
