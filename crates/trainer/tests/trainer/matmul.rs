//! Training with products in bf16 and in split bf16 against training in f32.

use regulus_trainer::experiment::{Experiment, parse_toml};

use crate::precision::{FINETUNE, PROMPTSRC, distance, trained};

/// Largest distance of a loss from that in f32: over these steps, at most 6.4e-6 and 2.9e-3 were measured.
const TOLERANCES: [(&str, f64); 2] = [("bf16x3", 1e-5), ("bf16", 1e-2)];

#[test]
fn losses_follow_those_of_f32() {
    for method in [FINETUNE, PROMPTSRC] {
        let (single, reference) = trained(method, 8, "f32", "f32");
        assert_eq!(reference.device, "cpu-f32");
        for (matmul, tolerance) in TOLERANCES {
            let (losses, outcome) = trained(method, 8, "f32", matmul);
            let found = distance(&losses, &single);
            println!("{method} {matmul}: {found:.1e}");
            assert_eq!(outcome.device, format!("cpu-f32-by-{matmul}"));
            assert_ne!(outcome.identity, reference.identity);
            assert!(found > 0.0 && found <= tolerance, "{method}: {matmul} deviates by {found:.1e}");
        }
    }
}

#[test]
fn towers_in_sixteen_bits_have_no_other_products() {
    let text = "seed = 1\nmodel = { path = \"m\", matmul = \"bf16x3\" }\nmethod = { name = \"finetune\" }\n\
                data = { kind = \"world-bias\", strength = 0.85 }\n[training]\nsteps = 1\nbatch = 4\n\
                learning_rate = 1e-3\nprecision = \"bf16\"\nschedule = { decay = \"constant\" }\n\
                optimiser = { rule = \"sgd\" }";
    let refused = Experiment::check(parse_toml(text, "test").unwrap()).unwrap_err().to_string();
    assert!(refused.contains("model.matmul") && refused.contains("training.precision"), "{refused}");
    let unknown =
        parse_toml::<regulus_trainer::experiment::ExperimentSpec>(&text.replace("bf16x3", "bf15"), "test");
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("bf15") && unknown.contains("bf16x3"), "{unknown}");
}
