//! From class names and templates to token ids.

use regulus_clip::{Pretrained, TokenizeError};
use regulus_datasets::prompt;

/// Token ids of every class in every template: `[template][class]`. `{}` stands for the class name.
pub fn tokenize(
    pretrained: &Pretrained,
    class_names: &[String],
    templates: &[String],
) -> Result<Vec<Vec<Vec<u32>>>, TokenizeError> {
    let context = pretrained.config.text.context;
    let template_ids = templates.iter().map(|template| {
        let prompts = class_names.iter().map(|name| prompt(template, name));
        prompts.map(|text| pretrained.tokenizer.encode(&text, context)).collect()
    });
    template_ids.collect()
}

/// Class prompts with a place for learned vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTokens {
    /// Token ids of each class's prompt.
    pub ids: Vec<Vec<u32>>,
    /// Tokens of each class name.
    pub names: Vec<usize>,
    /// Words of the template before the class name.
    pub words: usize,
}

/// Token ids of every class's prompt with at least `vectors` words before the class name: where `template` has fewer,
/// as many placeholders take their place, as in the official prompt learners.
///
/// # Errors
/// [`TokenizeError`] for a prompt that the tokenizer cannot read.
pub fn tokenize_with_room(
    pretrained: &Pretrained,
    class_names: &[String],
    template: &str,
    vectors: usize,
) -> Result<PromptTokens, TokenizeError> {
    let context = pretrained.config.text.context;
    // Without the start and the end token.
    let length = |text: &str| Ok(pretrained.tokenizer.encode(text, context)?.len().saturating_sub(2));
    let words = length(template.split("{}").next().unwrap_or_default())?;
    let names = class_names.iter().map(|name| length(name)).collect::<Result<_, _>>()?;
    let mut ids = Vec::with_capacity(class_names.len());
    for name in class_names {
        let mut prompt = pretrained.tokenizer.encode(&prompt(template, name), context)?;
        if vectors > words {
            let placeholder = prompt.get(1).copied().unwrap_or_default();
            prompt.splice(1..(1 + words).min(prompt.len()), std::iter::repeat_n(placeholder, vectors));
        }
        ids.push(prompt);
    }
    Ok(PromptTokens { ids, names, words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use std::path::Path;

    #[test]
    fn placeholders_make_room_before_the_name() {
        let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
        let world = Pretrained::load(&world, &device()).unwrap();
        let names = ["red cat".to_owned(), "box".to_owned()];
        let room = |vectors| tokenize_with_room(&world, &names, "a photo of a {}", vectors).unwrap();
        let written = tokenize(&world, &names, &["a photo of a {}".to_owned()]).unwrap().remove(0);
        let tokens = room(4);
        assert_eq!((&tokens.ids, &tokens.names, tokens.words), (&written, &vec![2, 1], 4));
        assert_eq!(room(2).ids, written);
        let wide = room(6).ids;
        for (wide, written) in wide.iter().zip(&written) {
            assert_eq!(wide.len(), written.len() + 2);
            assert_eq!((wide[0], &wide[7..]), (written[0], &written[5..]));
        }
        let bare = tokenize_with_room(&world, &names, "{}", 3).unwrap();
        assert_eq!((bare.words, bare.ids[1].len()), (0, 1 + 3 + 1 + 1));
    }
}
