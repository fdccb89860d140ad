//! The class prompts of recorded prompt learning.

use crate::error::CaseError;
use crate::methods::trajectories::start::Start;
use regulus_clip::{TextConfig, TokenBatch, TokenBatchError};
use regulus_trainer::methods::prompts::{ClassPrompts, PromptError};
use serde_json::Value;

/// The class prompts with at least `vectors` words before the name. The recorded texts are written with the words of
/// the first template; learned vectors take the place of the first of them, the others stay. Where more vectors than
/// words are learned, the texts are written with as many placeholders as vectors, as the official code does.
pub(super) fn class_prompts(
    start: &Start,
    vectors: usize,
    layout: fn(&[Vec<u32>], &TextConfig) -> Result<TokenBatch, TokenBatchError>,
) -> Result<ClassPrompts, CaseError> {
    let names = name_tokens(start)?;
    let prefix = prefix(start)?;
    let texts = if vectors <= prefix.len() {
        start.io.rows("tokens")?
    } else {
        let special = |key: &str| start.notes().size_in(start.notes().get("special_tokens"), key);
        let (sot, dot, eot) = (special("sot")? as u32, special("dot")? as u32, special("eot")? as u32);
        let placeholder = prefix.first().copied().unwrap_or(dot);
        let text = |name: &Vec<u32>| {
            let words = std::iter::repeat_n(placeholder, vectors);
            std::iter::once(sot).chain(words).chain(name.iter().copied()).chain([dot, eot]).collect()
        };
        names.iter().map(text).collect::<Vec<Vec<u32>>>()
    };
    let tokens = layout(&texts, start.clip.text.config())?;
    let lengths = names.iter().map(Vec::len).collect();
    ClassPrompts::new(&start.clip, &tokens, lengths).map_err(unsupported)
}

pub(super) fn unsupported(error: PromptError) -> CaseError {
    CaseError::Unsupported(error.to_string())
}

/// The tokens of each class name.
fn name_tokens(start: &Start) -> Result<Vec<Vec<u32>>, CaseError> {
    start
        .notes()
        .list("class_name_tokens")?
        .iter()
        .map(|name| ids(start, "class_name_tokens", name))
        .collect()
}

/// The words before the class name.
fn prefix(start: &Start) -> Result<Vec<u32>, CaseError> {
    ids(start, "photo_prefix", &start.notes().get("special_tokens")["photo_prefix"])
}

fn ids(start: &Start, key: &str, value: &Value) -> Result<Vec<u32>, CaseError> {
    let form = || start.notes().form(key, value, "a list of token ids");
    let list = value.as_array().ok_or_else(form)?;
    list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(form)).collect()
}
