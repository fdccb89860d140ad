//! Times products of the sizes of a vision transformer (ViT-B/16, batches of 8 images) by turns: `gemm` crate, own
//! f32, split bf16, bf16; packed before and not. Prints GFLOP/s in the
//! best of many rounds, and the median of the ratios to the `gemm` crate's speed in the same round.
//!
//! Arguments: the number of threads (default 2), the number of rounds (default 31), a part of a shape's name.

use std::time::Instant;

use regulus_matrix::{
    Kernels, Matrix, MatrixMut, Packed, Precision, Settings, Threads, product, product_packed,
};

/// A product: the rows of the result, its columns, the depth, and which operands are transposed.
struct Shape {
    name: &'static str,
    rows: usize,
    columns: usize,
    depth: usize,
    transposed: (bool, bool),
    repeats: usize,
}

const fn shape(
    name: &'static str,
    (rows, depth, columns): (usize, usize, usize),
    transposed: (bool, bool),
    repeats: usize,
) -> Shape {
    Shape { name, rows, columns, depth, transposed, repeats }
}

const SHAPES: [Shape; 16] = [
    shape("qkv 1576x768x2304 x Wt", (1576, 768, 2304), (false, true), 1),
    shape("qkv 1576x768x2304", (1576, 768, 2304), (false, false), 1),
    shape("out 1576x768x768 x Wt", (1576, 768, 768), (false, true), 1),
    shape("up 1576x768x3072 x Wt", (1576, 768, 3072), (false, true), 1),
    shape("down 1576x3072x768 x Wt", (1576, 3072, 768), (false, true), 1),
    shape("down 1576x3072x768", (1576, 3072, 768), (false, false), 1),
    shape("dW 3072x1576x768 gt x", (3072, 1576, 768), (true, false), 1),
    shape("rows 1x768x2304 x Wt", (1, 768, 2304), (false, true), 20),
    shape("rows 4x768x2304 x Wt", (4, 768, 2304), (false, true), 20),
    shape("rows 8x768x2304 x Wt", (8, 768, 2304), (false, true), 20),
    shape("rows 4x32x32 x Wt", (4, 32, 32), (false, true), 1000),
    shape("rows 20x768x2304 x Wt", (20, 768, 2304), (false, true), 10),
    shape("rows 197x768x2304 x Wt", (197, 768, 2304), (false, true), 4),
    shape("head 197x64x197 q kt", (197, 64, 197), (false, true), 60),
    shape("head 197x197x64 p v", (197, 197, 64), (false, false), 60),
    shape("head 20x64x20 q kt", (20, 64, 20), (false, true), 1000),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default| arguments.get(i).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (threads, rounds) = (number(0, 2), number(1, 31));
    let chosen = arguments.get(2).map_or("", String::as_str);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let Ok(pool) = pool else { return eprintln!("no pool of {threads} threads") };
    println!("{:24} {}", "GFLOP/s", WAYS.map(|way| format!("{:>12}", way.0)).concat());
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(chosen)) {
        pool.install(|| measure(shape, rounds));
    }
}

type Way = (&'static str, Precision, Kernels, bool);

const WAYS: [Way; 8] = [
    ("gemm", Precision::F32, Kernels::Portable, false),
    ("f32", Precision::F32, Kernels::Native, false),
    ("bf16x3", Precision::Bf16x3, Kernels::Native, false),
    ("bf16", Precision::Bf16, Kernels::Native, false),
    ("gemm packed", Precision::F32, Kernels::Portable, true),
    ("f32 packed", Precision::F32, Kernels::Native, true),
    ("x3 packed", Precision::Bf16x3, Kernels::Native, true),
    ("bf16 packed", Precision::Bf16, Kernels::Native, true),
];

fn measure(shape: &Shape, rounds: usize) {
    let values =
        |count: usize| (0..count).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>();
    // Heads are parts of wider rows, as attention has them.
    let head = shape.name.starts_with("head");
    let gap = if head { 2304 - 64 } else { 0 };
    let matrix = |rows: usize, columns: usize, transposed: bool| {
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        let stride = columns + if columns == 64 { gap } else { 0 };
        (values(rows * stride), rows, columns, stride)
    };
    let (a, b) = (
        matrix(shape.rows, shape.depth, shape.transposed.0),
        matrix(shape.depth, shape.columns, shape.transposed.1),
    );
    fn view(stored: &(Vec<f32>, usize, usize, usize), transposed: bool) -> Matrix<'_> {
        let matrix = Matrix::new(&stored.0, stored.1, stored.2, stored.3);
        if transposed { matrix.transposed() } else { matrix }
    }
    let (a, b) = (view(&a, shape.transposed.0), view(&b, shape.transposed.1));
    let mut result = vec![0.0; shape.rows * shape.columns];
    let packed = WAYS.map(|(_, precision, kernels, _)| Packed::with_kernels(b, precision, kernels));
    let mut times = WAYS.map(|_| Vec::new());
    for _ in 0..=rounds {
        for (way, (_, precision, kernels, packs)) in WAYS.into_iter().enumerate() {
            let threads = if head { Threads::This } else { Threads::Pool };
            let settings = Settings { threads, kernels, ..Settings::default() };
            let start = Instant::now();
            for _ in 0..shape.repeats {
                let out = MatrixMut::new(&mut result, shape.rows, shape.columns, shape.columns);
                if packs {
                    product_packed(out, a, &packed[way], &settings);
                } else {
                    product(out, a, b, precision, &settings);
                }
            }
            times[way].push(start.elapsed().as_secs_f64() / shape.repeats as f64);
        }
    }
    let work = 2e-9 * (shape.rows * shape.columns * shape.depth) as f64;
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ratios =
        times.each_ref().map(|own| median(times[0].iter().zip(own).map(|(gemm, own)| gemm / own).collect()));
    let best = times.each_ref().map(|times| work / times.iter().copied().fold(f64::INFINITY, f64::min));
    println!("{:24} {}", shape.name, best.map(|rate| format!("{rate:12.0}")).concat());
    println!("{:24} {}", "       ratio by turns", ratios.map(|ratio| format!("{ratio:12.2}")).concat());
}
