//! The memory of a result has held others before it: nothing of them remains.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{
    MaskedWeight, Packing, batch_norm, conv2d, masked_linear, masked_weight, packed_attention, relu,
};

use crate::cases::{Path, all, noise, values};

/// Values from which on memory is kept: see `flex/memory.rs`.
const LARGE: usize = 1 << 14;

/// What comes out of `work`, the second time in the memory of what it makes of NaN.
fn again(name: &str, sizes: &[usize], work: impl Fn(&[Vec<f32>]) -> Vec<Vec<f32>>) {
    let inputs: Vec<_> = sizes.iter().enumerate().map(|(index, &count)| noise(count, index as u64)).collect();
    let spoiled: Vec<_> = sizes.iter().map(|&count| vec![f32::NAN; count]).collect();
    let first = work(&inputs);
    assert!(first.iter().flatten().all(|value| value.is_finite()), "{name}");
    drop(work(&spoiled));
    assert_eq!(work(&inputs), first, "{name}");
}

/// Result and gradients of an operation on flat inputs of these shapes.
fn differentiated<const D: usize>(
    inputs: &[Vec<f32>],
    apply: impl FnOnce(&[Tensor<1>]) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let leaf = |values: &Vec<f32>| {
        Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &device).require_grad()
    };
    let leaves: Vec<Tensor<1>> = inputs.iter().map(leaf).collect();
    let result = apply(&leaves);
    let gradients = (result.clone() * result.clone().detach()).sum().backward();
    let gradients = leaves.iter().filter_map(|leaf| leaf.grad(&gradients)).map(values);
    [values(result)].into_iter().chain(gradients).collect()
}

#[test]
fn nothing_of_an_earlier_result_remains() {
    for case in all().into_iter().filter(|case| case.batch * case.tokens * case.width >= LARGE) {
        let sizes: Vec<usize> = case.shapes().iter().map(|shape| shape.iter().product()).collect();
        again(&format!("{case:?}"), &sizes, |inputs| {
            case.differentiated(inputs, |inputs| case.apply(inputs, Path::Fused))
        });
    }
    let packing = Packing::new(5, &[30, 1, 47, 22]);
    again("packed attention", &[105 * 3 * 160], |inputs| {
        differentiated(inputs, |leaves| {
            packed_attention(leaves[0].clone().reshape([1, 105, 480]), 4, &packing)
        })
    });
    again("masked weight", &[LARGE + 3, LARGE + 3], |inputs| {
        differentiated(inputs, |leaves| masked_weight(leaves[0].clone(), leaves[1].clone(), 0.1))
    });
    again("masked layer", &[200 * 96, 180 * 96, 180 * 96, 180, 200 * 180], |inputs| {
        differentiated(inputs, |leaves| {
            let matrix = |index: usize| leaves[index].clone().reshape([180, 96]);
            let masked = MaskedWeight { weight: matrix(1), mask: matrix(2), threshold: 0.1 };
            let residual = leaves[4].clone().reshape([1, 200, 180]);
            masked_linear(leaves[0].clone().reshape([1, 200, 96]), masked, leaves[3].clone(), Some(residual))
        })
    });
    for (side, stride, padding) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3)] {
        let name = format!("convolution of side {side}, stride {stride}, padding {padding}");
        again(&name, &[3 * 8 * 40 * 40, 32 * 8 * side * side, 32], |inputs| {
            differentiated(inputs, |leaves| {
                let x = leaves[0].clone().reshape([3, 8, 40, 40]);
                let weight = leaves[1].clone().reshape([32, 8, side, side]);
                relu(conv2d(x, weight, Some(leaves[2].clone()), stride, padding))
            })
        });
    }
    again("batch normalisation", &[3 * 8 * 40 * 40, 8, 8], |inputs| {
        differentiated(inputs, |leaves| {
            let x = leaves[0].clone().reshape([3, 8, 40, 40]);
            batch_norm(x, leaves[1].clone(), leaves[2].clone(), 1e-5).output
        })
    });
}
