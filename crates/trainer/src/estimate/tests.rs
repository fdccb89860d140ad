use proptest::prelude::*;
use regulus_clip::{ClipConfig, ImageConfig, Precision};
use regulus_kernels::MatmulPrecision;

use super::*;
use crate::experiment::{Experiment, ExperimentSpec, parse_toml};
use crate::memory_budget::MemoryBudget;

fn spec(method: &str, batch: usize) -> ExperimentSpec {
    let text = format!(
        "seed = 1\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"folder\", path = \"d\" }}\nmethod = {method}\n\
         [training]\nsteps = 8\nbatch = {batch}\nlearning_rate = 1e-3\nschedule = {{ decay = \"cosine\" }}\n\
         optimiser = {{ rule = \"sgd\", momentum = 0.9 }}\n"
    );
    let spec = parse_toml(&text, "test").unwrap();
    Experiment::check(spec).unwrap().spec().clone()
}

fn sizes(name: &str) -> Sizes {
    Sizes {
        clip: ClipConfig::openai(name).unwrap(),
        backbone: None,
        bert: None,
        classes: 10,
        text_tokens: 9,
        words: 4,
        train: 1000,
        tests: 500,
        original_side: None,
        in_memory: true,
        on_processor: true,
    }
}

fn part(estimate: &MemoryEstimate, name: &str) -> u64 {
    estimate.parts.iter().find(|(part, _)| *part == name).map_or(0, |(_, bytes)| *bytes)
}

const METHODS: [&str; 12] = [
    "{ name = \"finetune\" }",
    "{ name = \"proreg\", form = \"prob\", alpha = 1.0 }",
    "{ name = \"coop\" }",
    "{ name = \"cocoop\" }",
    "{ name = \"ivlp\" }",
    "{ name = \"maple\" }",
    "{ name = \"promptsrc\" }",
    "{ name = \"r-mt\" }",
    "{ name = \"lora\" }",
    "{ name = \"tip-adapter-f\" }",
    "{ name = \"clip-adapter\" }",
    "{ name = \"joint\", parts = { coop = { name = \"coop\" }, r-amt = { name = \"r-mt\" } } }",
];

#[test]
fn parts_by_hand() {
    let sizes = sizes("ViT-B/32");
    let estimate = memory(&spec("{ name = \"r-mt\" }", 8), &sizes);
    // 151,277,313 parameters, 1500 images of 3 x 224 x 224 bytes.
    assert_eq!(part(&estimate, "model"), 4 * 151_277_313);
    assert_eq!(part(&estimate, "images"), 1500 * 3 * 224 * 224);
    // 12 layers of 4 x 768 x 768 masks, with their initial values; SGD remembers one value of each.
    let masks = 12 * 4 * 768 * 768 * 4;
    assert_eq!(part(&estimate, "trained parameters"), 2 * masks);
    assert_eq!(part(&estimate, "memory of the optimiser"), masks);
    // The logits of 1000 images and 10 classes, twice while they are put together.
    assert_eq!(part(&estimate, "frozen features and logits"), 2 * 1000 * 10 * 4);
    // A pass over 128 images: pixels twice, and 6 x 768 values of 50 tokens; the masked weights.
    let pass = 128 * (2 * 4 * 3 * 224 * 224 + 50 * 6 * 768 * 4) + masks;
    // A step: pixels twice, 12 layers of 50 tokens with 5 x 768 + 3072 + 2 x 768 values kept for two gradients, and the
    // gradients of an MLP on the way back; masked weights and a gradient.
    let image = 2 * 4 * 3 * 224 * 224 + 12 * 50 * 11 * 768 * 4 * 7 / 4 + 50 * 2 * 5 * 768 * 4;
    let step = 8 * image + 2 * masks;
    let names = ["a pass over images without gradients", "activations of a batch"];
    let found = part(&estimate, names[0]) + part(&estimate, names[1]);
    assert!(pass < step && found == step - 2 * masks, "{estimate}");
    assert_eq!(estimate.total, estimate.parts.iter().map(|(_, bytes)| bytes).sum::<u64>());
}

#[test]
fn what_is_kept_over_epochs_counts() {
    let sizes = sizes("ViT-B/32");
    let masks = 12 * 4 * 768 * 768 * 4;
    let with = |change: &str| {
        let text = toml::to_string(&spec("{ name = \"r-mt\" }", 8)).unwrap();
        memory(
            &parse_toml(&text.replace("[training]\n", &format!("[training]\n{change}\n")), "test").unwrap(),
            &sizes,
        )
    };
    assert_eq!(part(&with(""), "memory of the optimiser"), masks);
    assert_eq!(part(&with("selection = \"id-val\""), "parameters of the best epoch"), masks);
    let averaged = with("aggregation = { weights = \"equal\" }");
    // One value of momentum, and two of f64.
    assert_eq!(part(&averaged, "memory of the optimiser"), 3 * masks);
}

#[test]
fn a_later_stage_costs_what_is_fixed_and_the_largest_stage_counts() {
    let sizes = sizes("ViT-B/32");
    let staged = |method: &str, before: &str| {
        let mut whole = spec(method, 8);
        let stage = spec(before, 8);
        let (method, training) = (stage.method, stage.training);
        whole.before = Some(Box::new(crate::experiment::StageSpec { method, training, before: None }));
        memory(&whole, &sizes).total
    };
    let alone = |method: &str| memory(&spec(method, 8), &sizes).total;
    let [coop, masks] = ["{ name = \"coop\" }", "{ name = \"r-mt\" }"];
    assert!(staged(coop, masks) >= alone(masks));
    assert!(staged(masks, coop) > alone(masks));
}

#[test]
fn advice_fits_by_the_same_formula() {
    let sizes = sizes("ViT-B/16");
    let large = spec("{ name = \"r-mt\" }", 64);
    let needed = |batch| memory(&spec("{ name = \"r-mt\" }", batch), &sizes).total;
    let found = |available| advice(&large, &sizes, available, |_| true).unwrap();
    // Accumulated gradients need room too.
    let room = needed(16) + 130_000_000;
    let fitting = found(room);
    assert_eq!(fitting.change, "--set training.batch=16 --set training.accumulate=4");
    assert!(fitting.fits && (needed(16)..=room).contains(&fitting.total), "{fitting:?}");
    let hopeless = found(1000);
    assert!(!hopeless.fits && hopeless.total < needed(64), "{hopeless:?}");
    // Texts do not get fewer with the batch.
    let cocoop = spec("{ name = \"cocoop\" }", 1);
    let many = Sizes { classes: 1000, ..sizes.clone() };
    let room_for_texts = memory(&cocoop, &Sizes { classes: 260, ..many.clone() }).total;
    let fewer = advice(&cocoop, &many, room_for_texts, |_| false).unwrap();
    assert_eq!(fewer.change, "250 instead of 1000 classes");
}

proptest! {
    #[test]
    fn more_of_anything_never_needs_less(
        method in 0..METHODS.len(), batch in 1usize..64, more in 1usize..64, classes in 2usize..300,
        layers in 1usize..30, on_processor: bool,
    ) {
        let mut small = Sizes { classes, on_processor, ..sizes("ViT-B/32") };
        if let ImageConfig::Vit(vit) = &mut small.clip.image {
            vit.layers = layers.max(9);
        }
        small.clip.text.layers = layers.max(9);
        let total = |batch: usize, sizes: &Sizes| memory(&spec(METHODS[method], batch), sizes).total;
        let work = |batch: usize, sizes: &Sizes| operations(&spec(METHODS[method], batch), sizes);
        let mut deep = small.clone();
        if let ImageConfig::Vit(vit) = &mut deep.clip.image {
            vit.layers += more;
        }
        let mut deep_text = small.clone();
        deep_text.clip.text.layers += more;
        let many = Sizes { classes: classes + more, ..small.clone() };
        for sizes in [&deep, &deep_text, &many] {
            prop_assert!(total(batch, sizes) >= total(batch, &small), "{}", METHODS[method]);
            prop_assert!(work(batch, sizes) >= work(batch, &small));
        }
        prop_assert!(total(batch + more, &small) >= total(batch, &small));
        prop_assert!(work(batch + more, &small) >= work(batch, &small));
    }

    #[test]
    fn absurd_sizes_are_only_large(width in 1usize..=1 << 20, classes: usize, train: usize, tests: usize) {
        let mut sizes = Sizes { classes, train, tests, ..sizes("ViT-B/32") };
        sizes.clip.text.width = width;
        sizes.clip.text.mlp_width = 1 << 20;
        for method in METHODS {
            let estimate = memory(&spec(method, usize::MAX >> 1), &sizes);
            prop_assert!(estimate.total > 0);
            prop_assert!(operations(&spec(method, usize::MAX >> 1), &sizes).is_finite());
            prop_assert!(advice(&spec(method, usize::MAX >> 1), &sizes, 0, |_| true).is_none_or(|found| !found.fits));
        }
    }
}

#[test]
fn bytes_are_for_people() {
    assert_eq!([bytes(0), bytes(35_400_000), bytes(2_149_000_000)], ["1 MB", "35 MB", "2.1 GB"]);
    let estimate = MemoryEstimate { parts: vec![("model", 5_000_000)], total: 5_000_000 };
    assert_eq!(estimate.to_string(), "      5 MB  model\n      5 MB  together");
}

#[test]
fn sixteen_bits_do_not_help_the_processor() {
    let (mut narrow, sizes) = (spec("{ name = \"finetune\" }", 32), sizes("ViT-B/16"));
    let single = memory(&narrow, &sizes).total;
    if let Some(training) = &mut narrow.training {
        training.precision = Precision::Bf16;
    }
    assert!(memory(&narrow, &sizes).total > single);
    let elsewhere = Sizes { on_processor: false, ..sizes.clone() };
    assert!(
        memory(&narrow, &elsewhere).total < memory(&spec("{ name = \"finetune\" }", 32), &elsewhere).total
    );
}

/// Frozen weights that are used more than once are there packed as well: for the way forth and, under prompts, back.
#[test]
fn products_on_the_matrix_unit_keep_packed_weights() {
    let name = "weights packed for the matrix unit";
    let packed = |method: &str, matmul, sizes: &Sizes| {
        let mut spec = spec(method, 4);
        spec.model.matmul = matmul;
        part(&memory(&spec, sizes), name)
    };
    let sizes = sizes("ViT-B/16");
    let (image, text) = (12 * 12 * 768 * 768, 12 * 12 * 512 * 512);
    assert_eq!(packed("{ name = \"promptsrc\" }", MatmulPrecision::F32, &sizes), 0);
    assert_eq!(packed("{ name = \"promptsrc\" }", MatmulPrecision::Bf16, &sizes), 2 * 2 * (image + text));
    assert_eq!(packed("{ name = \"finetune\" }", MatmulPrecision::Bf16x3, &sizes), 4 * image);
    // Of masks on the attention, only the MLP is frozen on the way back.
    assert_eq!(packed("{ name = \"r-mt\" }", MatmulPrecision::Bf16, &sizes), 2 * (image + image * 2 / 3));
    let many = Sizes { classes: 1000, ..sizes.clone() };
    assert_eq!(packed("{ name = \"finetune\" }", MatmulPrecision::Bf16, &many), 2 * (image + text));
    let elsewhere = Sizes { on_processor: false, ..sizes };
    assert_eq!(packed("{ name = \"promptsrc\" }", MatmulPrecision::Bf16, &elsewhere), 0);
}

/// The budget bounds what class texts take, and no more classes are computed at once than it has room for.
#[test]
fn a_budget_bounds_the_class_texts() {
    let many = Sizes { classes: 21_000, ..sizes("ViT-B/16") };
    let free = spec("{ name = \"coop\", vectors = 4 }", 32);
    assert_eq!(classes_at_once(&free, &many), None);
    let with = |gibibytes: u64| {
        let mut bounded = free.clone();
        bounded.training.as_mut().unwrap().memory_budget = Some(MemoryBudget(gibibytes << 30));
        bounded
    };
    assert!(memory(&free, &many).total > 12 << 30);
    let counts = [3, 4, 8].map(|gibibytes| {
        let bounded = with(gibibytes);
        let at_once = classes_at_once(&bounded, &many).unwrap();
        let total = memory(&bounded, &many).total;
        assert!(total <= gibibytes << 30 && 2 * total > gibibytes << 30, "{gibibytes} GiB: {total} bytes");
        assert!(operations(&bounded, &many) > operations(&free, &many));
        at_once
    });
    assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
    let few = Sizes { classes: 10, ..many.clone() };
    assert_eq!(classes_at_once(&with(8), &few), None);
    assert_eq!(classes_at_once(&with(0), &many), Some(1));
}

#[test]
fn a_budget_is_the_first_advice_for_prompts() {
    let many = Sizes { classes: 21_000, ..sizes("ViT-B/16") };
    let found = advice(&spec("{ name = \"coop\" }", 32), &many, 6 << 30, |_| false).unwrap();
    assert_eq!((found.change.as_str(), found.fits), ("--set training.memory_budget=6GiB", true));
    let other = advice(&spec("{ name = \"finetune\" }", 32), &many, 6 << 30, |_| false).unwrap();
    assert!(!other.change.contains("budget"), "{other:?}");
}
