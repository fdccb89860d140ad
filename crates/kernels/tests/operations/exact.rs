//! The operations in f64, written for clarity.

use regulus_kernels::Gelu;

use crate::cases::{Case, Operation};

/// The result of the case's operation on its inputs.
pub fn result(case: &Case, inputs: &[Vec<f64>]) -> Vec<f64> {
    let width = case.width;
    match case.operation {
        Operation::Linear { out } => linear(inputs, width, out),
        Operation::AddLinear => {
            let layer = linear(inputs, width, width);
            layer.iter().zip(&inputs[0]).map(|(layer, x)| layer + x).collect()
        }
        Operation::LogSoftmax => {
            let of_row = |row: &[f64]| {
                let total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
                row.iter().map(|x| x - total).collect::<Vec<f64>>()
            };
            inputs[0].chunks(width).flat_map(of_row).collect()
        }
        Operation::LayerNorm => layer_norm(&inputs[0], &inputs[1], &inputs[2]),
        Operation::LinearGelu { out, gelu } => {
            let activate = match gelu {
                Gelu::Quick => quick_gelu,
                Gelu::Erf => gelu_erf,
                Gelu::Tanh => gelu_tanh,
            };
            linear(inputs, width, out).into_iter().map(activate).collect()
        }
        Operation::QuickGelu => inputs[0].iter().copied().map(quick_gelu).collect(),
        Operation::GeluErf => inputs[0].iter().copied().map(gelu_erf).collect(),
        Operation::GeluTanh => inputs[0].iter().copied().map(gelu_tanh).collect(),
        Operation::Attention { heads, causal } => {
            let samples = inputs[0].chunks(case.tokens * 3 * width);
            samples.flat_map(|sample| attention(sample, width, heads, causal)).collect()
        }
    }
}

fn linear(inputs: &[Vec<f64>], width: usize, out: usize) -> Vec<f64> {
    let mut result = Vec::new();
    for row in inputs[0].chunks(width) {
        for (index, weights) in inputs[1].chunks(width).enumerate() {
            let bias = inputs.get(2).map_or(0.0, |bias| bias[index]);
            result.push(row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() + bias);
        }
    }
    assert_eq!(result.len(), inputs[0].len() / width * out);
    result
}

fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut result = Vec::new();
    for row in x.chunks(weight.len()) {
        let count = row.len() as f64;
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        for ((x, weight), bias) in row.iter().zip(weight).zip(bias) {
            result.push((x - mean) / (variance + crate::cases::EPS).sqrt() * weight + bias);
        }
    }
    result
}

fn quick_gelu(x: f64) -> f64 {
    x / (1.0 + (-1.702 * x).exp())
}

fn gelu_erf(x: f64) -> f64 {
    x * 0.5 * (1.0 + erf(x / 2f64.sqrt()))
}

fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + u.tanh())
}

/// `erf(x) = 2/√π exp(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!`, a series of terms of one sign. Beyond 6 it is 1 to the last bit.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..300 {
        term *= 2.0 * x * x / (2 * n + 1) as f64;
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn attention(qkv: &[f64], width: usize, heads: usize, causal: bool) -> Vec<f64> {
    let tokens = qkv.len() / (3 * width);
    let head_dim = width / heads;
    let mut result = vec![0.0; tokens * width];
    for head in 0..heads {
        let at =
            |token: usize, part: usize, i: usize| qkv[token * 3 * width + part * width + head * head_dim + i];
        for query in 0..tokens {
            let visible = if causal { query + 1 } else { tokens };
            let scores: Vec<f64> = (0..visible)
                .map(|key| (0..head_dim).map(|i| at(query, 0, i) * at(key, 1, i)).sum::<f64>())
                .map(|product| (product / (head_dim as f64).sqrt()).exp())
                .collect();
            let total: f64 = scores.iter().sum();
            for i in 0..head_dim {
                let sum: f64 = scores.iter().enumerate().map(|(key, score)| score * at(key, 2, i)).sum();
                result[query * width + head * head_dim + i] = sum / total;
            }
        }
    }
    result
}
