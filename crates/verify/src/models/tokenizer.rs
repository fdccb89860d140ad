//! OpenAI's tokenizer: texts and their ids.

use crate::error::CaseError;
use crate::report::Row;
use regulus_clip::{TokenizeError, Tokenizer};
use serde::Deserialize;
use std::path::Path;

/// A text and what OpenAI's tokenizer makes of it.
#[derive(Deserialize)]
struct Recorded {
    text: String,
    /// The ids, filled up with zeros to the context.
    ids: Vec<u32>,
    too_long: bool,
    length_untruncated: Option<usize>,
}

/// Positions of OpenAI's models, where a case records nothing else.
const CONTEXT: usize = 77;

pub(crate) fn run(folder: &Path, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    let path = folder.join("strings.json");
    let text =
        std::fs::read_to_string(&path).map_err(|source| CaseError::Read { path: path.clone(), source })?;
    let strings: Vec<Recorded> =
        serde_json::from_str(&text).map_err(|source| CaseError::Json { path: path.clone(), source })?;
    if strings.is_empty() {
        return Err(CaseError::Unsupported("strings.json holds no text".into()));
    }
    let tokenizer = Tokenizer::openai();
    let wrong: Vec<String> = strings.iter().filter_map(|recorded| differs(&tokenizer, recorded)).collect();
    rows.push(Row {
        what: format!("texts with other ids, of {}", strings.len()),
        deviation: wrong.len() as f64,
        tolerance: 0.0,
        problem: wrong.first().cloned(),
    });
    Ok(())
}

/// How the ids of a text differ from the recorded ones.
fn differs(tokenizer: &Tokenizer, recorded: &Recorded) -> Option<String> {
    let Recorded { text, ids, too_long, length_untruncated } = recorded;
    let context = if ids.is_empty() { CONTEXT } else { ids.len() };
    match tokenizer.encode(text, context) {
        Err(TokenizeError::TooLong { length, .. }) if *too_long => {
            let is_wrong = length_untruncated.is_some_and(|expected| expected != length);
            is_wrong.then(|| format!("{text:?} has {length} tokens, recorded are {length_untruncated:?}"))
        }
        Err(error) => Some(error.to_string()),
        Ok(found) if *too_long => Some(format!("{text:?} has {} tokens, recorded are too many", found.len())),
        Ok(mut found) => {
            found.resize(context, 0);
            (found != *ids).then(|| format!("{text:?} becomes {found:?}"))
        }
    }
}
