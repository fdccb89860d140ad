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
