//! From TOML text to a raw spec, with errors that name the file, the key and the nearest valid one.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A recipe or spec that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that nothing knows.
    #[error("{origin}: unknown key `{key}`{}; valid keys here: {}", did_you_mean(.nearest), .valid.join(", "))]
    UnknownKey {
        /// File, or what else the text is.
        origin: String,
        /// The key.
        key: String,
        /// The valid key that looks most like it.
        nearest: Option<String>,
        /// All valid keys of the table.
        valid: Vec<String>,
    },
    /// Not TOML, a missing key, or a value of the wrong kind.
    #[error("{origin}: {message}")]
    Invalid {
        /// File, or what else the text is.
        origin: String,
        /// What is wrong and where.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("`{given}` is not of the form key=value, such as training.learning_rate=1e-4")]
    Override {
        /// What was given.
        given: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// The candidate that is most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|name| (strsim::jaro_winkler(word, name), name));
    scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Parses TOML text; `origin` names it in errors.
pub fn parse_toml<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, SpecError> {
    toml::from_str(text).map_err(|error| explain(error.message(), &error.to_string(), origin))
}

/// Turns a TOML error into ours. Serde words an unknown key as "unknown field `x`, expected one of `a`, `b`"
/// (or variant); that wording is covered by a test.
fn explain(message: &str, in_context: &str, origin: &str) -> SpecError {
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match (unknown, quoted.next()) {
        (true, Some(key)) => {
            let valid: Vec<String> = quoted.collect();
            let nearest = nearest(&key, valid.iter().map(String::as_str)).map(str::to_owned);
            SpecError::UnknownKey { origin: origin.to_owned(), key, nearest, valid }
        }
        _ => SpecError::Invalid { origin: origin.to_owned(), message: in_context.trim_end().to_owned() },
    }
}

/// Sets one value of a TOML document: `training.steps=10`. A value that is not TOML is taken as a string.
/// Of `training.steps` and `training.epochs`, the one that is set takes the place of the other, in earlier stages too.
pub fn apply_override(document: &mut toml::Table, assignment: &str) -> Result<(), SpecError> {
    let wrong = || SpecError::Override { given: assignment.to_owned() };
    let (path, text) = assignment.split_once('=').ok_or_else(wrong)?;
    let value = match toml::from_str::<toml::Table>(&format!("value = {text}")) {
        Ok(mut table) => table.remove("value").ok_or_else(wrong)?,
        Err(_) => toml::Value::String(text.to_owned()),
    };
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(wrong)?;
    let mut table = document;
    for key in keys {
        let entry = table.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(wrong)?;
    }
    table.insert(last.to_owned(), value);
    let ends_with = |ending: &str| {
        path.trim().strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if ends_with("training.steps") {
        table.remove("epochs");
    } else if ends_with("training.epochs") {
        table.remove("steps");
    }
    Ok(())
}

/// Reads and parses a TOML file.
pub fn read_text(path: &Path) -> Result<String, SpecError> {
    std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::super::ExperimentSpec;
    use super::*;

    const GOOD: &str = r#"
        seed = 1
        [model]
        path = "m"
        [data]
        kind = "world-bias"
        strength = 0.85
        [method]
        name = "proreg"
        form = "prob"
        alpha = 2.0
    "#;

    fn error_of(text: &str) -> String {
        parse_toml::<ExperimentSpec>(text, "run.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_good_spec_parses_and_round_trips() {
        let spec: ExperimentSpec = parse_toml(GOOD, "run.toml").unwrap();
        let text = toml::to_string(&spec).unwrap();
        assert_eq!(parse_toml::<ExperimentSpec>(&text, "again").unwrap(), spec);
    }

    #[test]
    fn unknown_keys_name_file_and_nearest() {
        let message = error_of(&GOOD.replace("alpha", "alhpa"));
        assert!(message.contains("run.toml") && message.contains("`alhpa`"), "{message}");
        assert!(message.contains("did you mean `alpha`?"), "{message}");
        let message = error_of(&GOOD.replace("\"proreg\"", "\"prorge\""));
        assert!(message.contains("did you mean `proreg`?"), "{message}");
        let message = error_of(&GOOD.replace("seed", "sede"));
        assert!(message.contains("did you mean `seed`?"), "{message}");
    }

    #[test]
    fn wrong_kinds_are_told_with_their_place() {
        let message = error_of(&GOOD.replace("seed = 1", "seed = \"one\""));
        assert!(message.contains("run.toml") && message.contains("seed"), "{message}");
    }

    #[test]
    fn overrides_reach_nested_keys() {
        let mut document: toml::Table = toml::from_str(GOOD).unwrap();
        apply_override(&mut document, "method.alpha=0.5").unwrap();
        apply_override(&mut document, "model.path=assets/x").unwrap();
        apply_override(&mut document, "training.steps=3").unwrap();
        assert_eq!(document["method"]["alpha"].as_float(), Some(0.5));
        assert_eq!(document["model"]["path"].as_str(), Some("assets/x"));
        assert_eq!(document["training"]["steps"].as_integer(), Some(3));
        apply_override(&mut document, "training.epochs=2").unwrap();
        assert_eq!(
            document["training"].as_table().map(toml::Table::len),
            Some(1),
            "steps and epochs exclude"
        );
        assert!(apply_override(&mut document, "steps").is_err());
        assert!(apply_override(&mut document, "seed.x=1").is_err());
    }
}
