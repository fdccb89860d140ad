//! The table of scores by split, which training and evaluation share.

use regulus_trainer::run::SplitScores;

use crate::table::Table;

/// One row for each split, in percent. Where a class has no image, the official mean over classes has a column too.
pub fn table(splits: &[SplitScores]) -> Table {
    let differs = lacks_a_class(splits);
    let official = differs.then(|| "official".to_owned());
    let headings = ["split", "images", "accuracy", "mean class accuracy", "macro-F1", "ECE", "ECE, scaled"]
        .map(str::to_owned);
    let mut table = Table::new(headings.into_iter().chain(official));
    for SplitScores { split, images, scores, details } in splits {
        let percent = |value: f64| format!("{value:.2}");
        let measured = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
        let details = details.as_ref();
        let official = scores.mean_class_accuracy_official.map_or_else(|| "undefined".to_owned(), percent);
        let cells = [
            split.clone(),
            images.to_string(),
            percent(scores.accuracy),
            percent(scores.mean_class_accuracy),
            measured(details.map(|details| details.macro_f1)),
            measured(details.map(|details| details.calibration_error)),
            measured(details.and_then(|details| details.calibration_error_scaled)),
        ];
        table.row(cells.into_iter().chain(differs.then_some(official)));
    }
    table
}

/// What has to be said of the table.
pub fn notes(splits: &[SplitScores]) -> Option<&'static str> {
    lacks_a_class(splits).then_some(
        "the official mean over classes is undefined where a class has no image; ours leaves the class out",
    )
}

fn lacks_a_class(splits: &[SplitScores]) -> bool {
    splits.iter().any(|split| split.scores.lacks_a_class())
}
