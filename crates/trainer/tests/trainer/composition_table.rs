//! The tables of docs/methods/composition.md are those of the code.

use std::collections::BTreeMap;

use regulus_trainer::experiment::{MethodSpec, joint_refusal, parse_toml, staged_refusal};

/// A method for each row and column.
const METHODS: [(&str, &str); 13] = [
    ("prompts", "name = \"promptsrc\""),
    ("r-mt", "name = \"r-mt\""),
    ("lora", "name = \"lora\"\ndropout = 0.0"),
    ("tip-adapter", "name = \"tip-adapter\""),
    ("tip-adapter-f", "name = \"tip-adapter-f\""),
    ("clip-adapter", "name = \"clip-adapter\""),
    ("kd", "name = \"kd\"\nalpha = 0.5\nhead = { trained = false }"),
    ("proreg", "name = \"proreg\"\nform = \"prob\"\nalpha = 2.0\nhead = { trained = false }"),
    ("finetune", "name = \"finetune\"\nhead = { trained = false }"),
    ("tes", "name = \"tes\""),
    ("cocoop", "name = \"cocoop\""),
    ("linear-probe", "name = \"linear-probe\"\nsolver = \"lbfgs\""),
    ("l2-sp", "name = \"l2-sp\"\nalpha = 0.1"),
];

/// The table of `refusal(row, column)`, with the numbers of its reasons.
fn table(
    corner: &str,
    refusal: impl Fn(&MethodSpec, &MethodSpec) -> Option<String>,
    reasons: &mut Vec<String>,
) -> String {
    let methods: BTreeMap<&str, MethodSpec> =
        METHODS.map(|(name, text)| (name, parse_toml(text, name).unwrap())).into();
    let names = METHODS.map(|(name, _)| name);
    let mut text = format!("| {corner} | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1));
    for row in names {
        let cells = names.map(|column| match refusal(&methods[row], &methods[column]) {
            None => "yes".to_owned(),
            Some(reason) => {
                // Prompts are named after the row, not after the method that stands for them.
                let reason = reason.replace("promptsrc", "prompts").replace("r-amt", "r-mt");
                let known = reasons.iter().position(|known| *known == reason);
                let index = known.unwrap_or_else(|| {
                    reasons.push(reason);
                    reasons.len() - 1
                });
                (index + 1).to_string()
            }
        });
        text += &format!("| {row} | {} |\n", cells.join(" | "));
    }
    text
}

#[test]
fn the_documented_pairs_are_those_of_the_code() {
    let mut reasons = Vec::new();
    let joint = table("a+b", joint_refusal, &mut reasons);
    let staged = table("first > then", staged_refusal, &mut reasons);
    let listed = reasons.iter().enumerate();
    let listed: String = listed.map(|(index, reason)| format!("{}. {reason}\n", index + 1)).collect();
    let expected = format!(
        "Together:\n\n{joint}\nOne after the other, the row first:\n\n{staged}\nReasons:\n\n{listed}"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/methods/composition.md");
    let documented = std::fs::read_to_string(path).unwrap();
    assert!(documented.contains(&expected), "docs/methods/composition.md should hold:\n\n{expected}");
}
