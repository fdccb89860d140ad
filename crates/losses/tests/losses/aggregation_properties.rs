//! What must hold for the aggregation over epochs, and what it refuses.

use proptest::prelude::*;
use regulus_losses::{Aggregation, AggregationError, RunningAggregate};

fn aggregations() -> impl Strategy<Value = Aggregation> {
    prop_oneof![
        (-10.0..60.0, 3.0..40.0).prop_map(|(mean, std)| Aggregation::Gaussian { mean, std }),
        Just(Aggregation::Equal),
        Just(Aggregation::Last),
    ]
}

/// At least one epoch of snapshots of three values.
fn snapshots() -> impl Strategy<Value = Vec<[f32; 3]>> {
    let value = || -100f32..100.0;
    prop::collection::vec([value(), value(), value()], 1..50)
}

fn aggregate(aggregation: Aggregation, snapshots: &[[f32; 3]]) -> RunningAggregate {
    let mut aggregate = RunningAggregate::new(aggregation, snapshots.len()).unwrap();
    for snapshot in snapshots {
        aggregate.add(snapshot).unwrap();
    }
    aggregate
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weights_are_shares(aggregation in aggregations(), epochs in 1usize..60) {
        let weights = aggregation.weights(epochs).unwrap();
        prop_assert_eq!(weights.len(), epochs);
        prop_assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)));
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_gaussian_is_symmetric_and_falls_off_as_its_density(
        middle in 1usize..20, std in 0.5..40.0,
    ) {
        let mean = middle as f64;
        let weights = Aggregation::Gaussian { mean, std }.weights(2 * middle - 1).unwrap();
        for (index, weight) in weights.iter().enumerate() {
            let mirrored = weights[weights.len() - 1 - index];
            prop_assert!((weight - mirrored).abs() <= 1e-15);
            let density = (-(((index + 1) as f64 - mean) / std).powi(2) / 2.0).exp();
            let expected = weights[middle - 1] * density;
            prop_assert!((weight - expected).abs() <= 1e-14, "{weight} instead of {expected}");
        }
    }

    #[test]
    fn equal_snapshots_aggregate_to_themselves(aggregation in aggregations(), snapshot in snapshots()) {
        let constant = vec![snapshot[0]; snapshot.len()];
        for (got, expected) in aggregate(aggregation, &constant).finish().unwrap().iter().zip(snapshot[0]) {
            prop_assert!((got - expected).abs() <= 1e-5, "{got} instead of {expected}");
        }
    }

    #[test]
    fn last_is_the_last_snapshot_and_equal_the_mean(snapshots in snapshots()) {
        let mut with_a_bad_start = snapshots.clone();
        with_a_bad_start.insert(0, [f32::NAN; 3]);
        let last = aggregate(Aggregation::Last, &with_a_bad_start).finish().unwrap();
        prop_assert_eq!(last, snapshots[snapshots.len() - 1].to_vec());
        let equal = aggregate(Aggregation::Equal, &snapshots).finish().unwrap();
        for (index, got) in equal.into_iter().enumerate() {
            let sum: f64 = snapshots.iter().map(|snapshot| f64::from(snapshot[index])).sum();
            let expected = sum / snapshots.len() as f64;
            prop_assert!((f64::from(got) - expected).abs() <= 1e-5, "{got} instead of {expected}");
        }
    }

    #[test]
    fn a_resumed_aggregate_goes_on_as_if_nothing_had_happened(
        aggregation in aggregations(), snapshots in snapshots(), cut in 0usize..50,
    ) {
        let mut whole = RunningAggregate::new(aggregation, snapshots.len()).unwrap();
        for (epoch, snapshot) in snapshots.iter().enumerate() {
            if epoch == cut {
                let (added, sum) = (whole.added(), whole.sum().to_vec());
                let resumed = RunningAggregate::resume(aggregation, snapshots.len(), added, sum).unwrap();
                prop_assert_eq!(&resumed, &whole);
                whole = resumed;
            }
            whole.add(snapshot).unwrap();
        }
        prop_assert_eq!(whole, aggregate(aggregation, &snapshots));
    }
}

#[test]
fn unusable_gaussians_are_refused() {
    let weights = |mean, std| Aggregation::Gaussian { mean, std }.weights(20);
    for (mean, std) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN), (1.0, 0.0), (1.0, -1.0)] {
        assert!(matches!(weights(mean, std), Err(AggregationError::NotAGaussian { .. })), "{mean} {std}");
    }
    let (mean, std, epochs) = (1e4, 1.0, 20);
    assert_eq!(weights(mean, std), Err(AggregationError::NoWeight { mean, std, epochs }));
    for aggregation in [Aggregation::Gaussian { mean: 1.0, std: 1.0 }, Aggregation::Equal, Aggregation::Last]
    {
        assert_eq!(aggregation.weights(0), Err(AggregationError::NoEpochs));
    }
}

#[test]
fn other_parameters_and_other_numbers_of_epochs_are_refused() {
    let mut aggregate = RunningAggregate::new(Aggregation::Equal, 2).unwrap();
    aggregate.add(&[1.0, 2.0]).unwrap();
    assert_eq!(aggregate.add(&[1.0]), Err(AggregationError::Length { expected: 2, got: 1 }));
    let unfinished = aggregate.clone().finish();
    assert_eq!(unfinished, Err(AggregationError::Unfinished { added: 1, epochs: 2 }));
    aggregate.add(&[3.0, 4.0]).unwrap();
    assert_eq!(aggregate.add(&[1.0, 2.0]), Err(AggregationError::TooMany { epochs: 2 }));
    assert_eq!(aggregate.finish().unwrap(), [2.0, 3.0]);
    let resumed = RunningAggregate::resume(Aggregation::Equal, 2, 3, vec![0.0]);
    assert_eq!(resumed, Err(AggregationError::TooMany { epochs: 2 }));
}
