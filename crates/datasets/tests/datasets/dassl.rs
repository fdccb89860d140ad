//! Python's generator, Dassl's few shots and CoOp's splits against recorded values.

use regulus_datasets::dassl::{PythonRandom, SplitError, few_shot, halves, split_in_three, split_train_val};
use serde::Deserialize;
use serde_json::Value;

fn recorded<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The floats under `"random"` of each stream. `serde_json` reads some of them one bit off, the standard library does not.
fn recorded_floats(name: &str) -> Vec<Vec<f64>> {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lists = text.split("\"random\": [").skip(1).map(|rest| rest.split(']').next().unwrap());
    lists.map(|list| list.split(',').map(|float| float.trim().parse().unwrap()).collect()).collect()
}

#[derive(Deserialize)]
struct Sampled {
    n: usize,
    k: usize,
    sample: Vec<usize>,
}

#[derive(Deserialize)]
struct Below {
    bounds: Vec<u64>,
    values: Vec<u64>,
}

#[derive(Deserialize)]
struct Stream {
    seed: u64,
    getrandbits32: Vec<u64>,
    randrange: Below,
    sample: Vec<Sampled>,
    shuffle: Vec<Vec<usize>>,
}

fn shuffled(random: &mut PythonRandom, count: usize) -> Vec<usize> {
    let mut items: Vec<usize> = (0..count).collect();
    random.shuffle(&mut items);
    items
}

#[test]
fn python_random() {
    #[derive(Deserialize)]
    struct File {
        seeds: Vec<Stream>,
    }
    let File { seeds } = recorded("python_random");
    assert_eq!(seeds.len(), 6);
    let floats = recorded_floats("python_random");
    assert_eq!(floats.len(), 6);
    for (stream, floats) in seeds.into_iter().zip(floats) {
        let mut random = PythonRandom::seed(stream.seed);
        stream.getrandbits32.iter().for_each(|&word| assert_eq!(random.getrandbits(32), word));
        floats.iter().for_each(|&value| assert_eq!(random.random(), value));
        for (&bound, &value) in stream.randrange.bounds.iter().zip(&stream.randrange.values) {
            assert_eq!(random.randrange(bound), value);
        }
        for Sampled { n, k, sample } in stream.sample {
            assert_eq!(random.sample(n, k), sample, "sample({n}, {k}) after seed {}", stream.seed);
        }
        for (count, expected) in [1, 2, 10, 37].into_iter().zip(stream.shuffle) {
            assert_eq!(shuffled(&mut random, count), expected);
        }
    }
}

/// Seeds of several words, numbers of bits, and samples at the border between the pool and the set.
#[test]
fn python_random_at_its_borders() {
    #[derive(Deserialize)]
    struct Case {
        seed: String,
        getrandbits: Vec<(u32, String)>,
        randbelow: Vec<(String, String)>,
        sample: Vec<(usize, usize, Vec<usize>)>,
        shuffle: Vec<(usize, Vec<usize>)>,
    }
    let cases: Vec<Case> = recorded("python_random_more");
    assert_eq!(cases.len(), 6);
    let floats = recorded_floats("python_random_more");
    assert_eq!(floats.len(), 6);
    for (case, floats) in cases.into_iter().zip(floats) {
        let mut random = PythonRandom::seed(case.seed.parse().unwrap());
        floats.iter().for_each(|&value| assert_eq!(random.random(), value));
        for (bits, value) in case.getrandbits {
            assert_eq!(random.getrandbits(bits).to_string(), value, "{bits} bits after seed {}", case.seed);
        }
        for (bound, value) in case.randbelow {
            assert_eq!(random.randrange(bound.parse().unwrap()).to_string(), value, "below {bound}");
        }
        for (n, k, sample) in case.sample {
            assert_eq!(random.sample(n, k), sample, "sample({n}, {k}) after seed {}", case.seed);
        }
        for (count, expected) in case.shuffle {
            assert_eq!(shuffled(&mut random, count), expected);
        }
    }
}

/// The labels of a list with these numbers of images per class, in one of the recorded orders.
fn labels(sizes: &[usize], order: &str) -> Vec<usize> {
    let mut labels: Vec<usize> =
        sizes.iter().enumerate().flat_map(|(class, &size)| std::iter::repeat_n(class, size)).collect();
    match order {
        "sorted" => {}
        "reversed" => labels.reverse(),
        _ => {
            let largest = sizes.iter().copied().max().unwrap_or(0);
            let round = |rank: usize| (0..sizes.len()).filter(move |&class| rank < sizes[class]);
            labels = (0..largest).flat_map(round).collect();
        }
    }
    labels
}

#[derive(Deserialize)]
struct Halved {
    classes: Vec<usize>,
    train: Vec<(usize, usize)>,
    val: Vec<(usize, usize)>,
}

#[test]
fn few_shots_and_halves() {
    #[derive(Deserialize)]
    struct Case {
        order: String,
        seed: u64,
        shots: Value,
        train: Vec<usize>,
        val: Vec<usize>,
        base: Option<Halved>,
        new: Option<Halved>,
    }
    #[derive(Deserialize)]
    struct File {
        train_class_sizes: Vec<usize>,
        val_class_sizes: Vec<usize>,
        cases: Vec<Case>,
    }
    let file: File = recorded("fewshot");
    assert_eq!(file.cases.len(), 48);
    let mut halved = 0;
    for case in file.cases {
        let (train, val) =
            (labels(&file.train_class_sizes, &case.order), labels(&file.val_class_sizes, &case.order));
        let shots = case.shots.as_u64().unwrap_or(0) as usize;
        let chosen = few_shot(&train, Some(&val), shots, case.seed);
        let what = format!("{} seed {} shots {}", case.order, case.seed, case.shots);
        assert_eq!(chosen.train, case.train, "{what}");
        assert_eq!(chosen.val, case.val, "{what}");
        let of_train: Vec<usize> = chosen.train.iter().map(|&index| train[index]).collect();
        let (base, new) = halves(&of_train);
        for (half, expected) in [(base, case.base), (new, case.new)] {
            let Some(expected) = expected else { continue };
            halved += 1;
            let relabelled = |chosen: &[usize], labels: &[usize]| -> Vec<(usize, usize)> {
                let place = |&index: &usize| Some((index, half.binary_search(&labels[index]).ok()?));
                chosen.iter().filter_map(place).collect()
            };
            assert_eq!(half, expected.classes, "{what}");
            assert_eq!(relabelled(&chosen.train, &train), expected.train, "{what}");
            assert_eq!(relabelled(&chosen.val, &val), expected.val, "{what}");
        }
    }
    // Halves are recorded for 18 of the cases.
    assert_eq!(halved, 36);
}

#[test]
fn sizes_of_the_halves() {
    #[derive(Deserialize)]
    struct Sizes {
        classes: usize,
        base: usize,
        new: usize,
    }
    for Sizes { classes, base, new } in recorded::<Vec<Sizes>>("base_new_sizes") {
        let labels: Vec<usize> = (0..classes).collect();
        let halves = halves(&labels);
        assert_eq!((halves.0.len(), halves.1.len()), (base, new));
    }
}

#[test]
fn splits_of_sets_without_validation() {
    #[derive(Deserialize)]
    struct TrainVal {
        seed: u64,
        labels: Vec<usize>,
        p_val: f64,
        train: Vec<usize>,
        val: Vec<usize>,
    }
    #[derive(Deserialize)]
    struct Class {
        n: usize,
        train: Vec<usize>,
        val: Vec<usize>,
        test: Vec<usize>,
    }
    #[derive(Deserialize)]
    struct InThree {
        seed: u64,
        p_train: f64,
        p_val: f64,
        classes: Vec<Class>,
    }
    #[derive(Deserialize)]
    struct File {
        split_trainval: Vec<TrainVal>,
        read_and_split_data: Vec<InThree>,
    }
    let file: File = recorded("splits");
    assert_eq!((file.split_trainval.len(), file.read_and_split_data.len()), (3, 2));
    for case in file.split_trainval {
        let split = split_train_val(&case.labels, case.p_val, &mut PythonRandom::seed(case.seed)).unwrap();
        assert_eq!(split, (case.train, case.val));
    }
    for case in file.read_and_split_data {
        let mut random = PythonRandom::seed(case.seed);
        for (label, class) in case.classes.into_iter().enumerate() {
            let split = split_in_three(label, class.n, (case.p_train, case.p_val), &mut random).unwrap();
            assert_eq!(split, [class.train, class.val, class.test]);
        }
    }
}

#[test]
fn classes_that_are_too_small_are_named() {
    let mut random = PythonRandom::seed(1);
    let error = split_train_val(&[0, 0, 0, 7, 7], 0.2, &mut random).unwrap_err();
    assert_eq!(error, SplitError::TooFew { label: 7, images: 2 });
    let error = split_in_three(3, 2, (0.5, 0.2), &mut random).unwrap_err();
    assert_eq!(error, SplitError::TooFew { label: 3, images: 2 });
    assert!(split_train_val(&[0], f64::NAN, &mut random).is_err());
    assert!(split_in_three(0, 9, (0.9, 0.2), &mut random).is_err());
}
