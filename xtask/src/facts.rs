//! What a method says of its trained parameters, in words for the terminal.

use std::collections::BTreeMap;

/// One line for each thing said: a sentence where its words are known here, else name and value.
pub fn told(facts: &BTreeMap<String, f64>) -> Vec<String> {
    match sparsity(facts) {
        Some(sentence) => vec![sentence],
        None => facts.iter().map(|(name, value)| format!("{name}: {value}")).collect(),
    }
}

/// How many weights mask tuning has switched off.
fn sparsity(facts: &BTreeMap<String, f64>) -> Option<String> {
    let fact = |name: &str| facts.get(name).copied();
    Some(format!(
        "{:.2} % of {} masked weights are off, {:.2} % of all {} parameters of the image tower",
        fact("off_percent_of_masked")?,
        in_thousands(fact("masked_weights")?),
        fact("off_percent_of_tower")?,
        in_thousands(fact("tower_parameters")?),
    ))
}

/// A count with a comma before every three digits: `262,144`.
fn in_thousands(count: f64) -> String {
    let digits = format!("{count:.0}");
    let places = digits.chars().enumerate();
    let comma = |place: usize| place > 0 && (digits.len() - place).is_multiple_of(3);
    places.flat_map(|(place, digit)| comma(place).then_some(',').into_iter().chain([digit])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        for (count, text) in [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (1_262_144.0, "1,262,144")] {
            assert_eq!(in_thousands(count), text);
        }
    }

    #[test]
    fn what_has_no_words_is_named() {
        let facts = BTreeMap::from([("depth".to_owned(), 3.5)]);
        assert_eq!(told(&facts), ["depth: 3.5"]);
        assert!(told(&BTreeMap::new()).is_empty());
    }
}
