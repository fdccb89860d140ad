//! Augmentations in the words of a recipe: `"none"`, `"flip"`, or a list of steps, each of them a name or a table
//! with its parameters, such as `["rand-augment", { random-resized-crop = { scale = [0.5, 1.0] } }, "flip"]`.

use std::fmt;

use regulus_images::augment::{PaddedCrop, RandAugment};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Augmentation, PartOfImage, Step};

pub(super) const RAND_AUGMENT: &str = "rand-augment";
pub(super) const RANDOM_RESIZED_CROP: &str = "random-resized-crop";
pub(super) const PADDED_CROP: &str = "padded-crop";
pub(super) const FLIP: &str = "flip";
const NONE: &str = "none";

const STEPS: [&str; 4] = [RAND_AUGMENT, RANDOM_RESIZED_CROP, PADDED_CROP, FLIP];

/// In full: a step is written with all its parameters, so that a default is part of what names a run.
impl Serialize for Augmentation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str(NONE),
            Self::Flip => serializer.serialize_str(FLIP),
            Self::Steps(steps) => steps.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Augmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AugmentationWords)
    }
}

struct AugmentationWords;

impl<'de> Visitor<'de> for AugmentationWords {
    type Value = Augmentation;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"none\", \"flip\" or a list of steps such as [\"rand-augment\", \"flip\"]")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Augmentation, E> {
        match word {
            NONE => Ok(Augmentation::None),
            FLIP => Ok(Augmentation::Flip),
            RAND_AUGMENT | RANDOM_RESIZED_CROP | PADDED_CROP => {
                Err(E::custom(format!("\"{word}\" is a step; write it in a list: [\"{word}\"]")))
            }
            _ => Err(E::unknown_variant(word, &[NONE, FLIP])),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Augmentation, A::Error> {
        let mut steps = Vec::new();
        while let Some(Words(step)) = list.next_element()? {
            steps.push(step);
        }
        Ok(steps.into())
    }
}

/// A step that is written as its name alone or as a table.
struct Words(Step);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepWords).map(Self)
    }
}

struct StepWords;

impl<'de> Visitor<'de> for StepWords {
    type Value = Step;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a step, or a table such as { rand-augment = { magnitude = 9 } }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Step, E> {
        match name {
            RAND_AUGMENT => Ok(Step::RandAugment(RandAugment::default())),
            RANDOM_RESIZED_CROP => Ok(Step::RandomResizedCrop(PartOfImage::default())),
            PADDED_CROP => Ok(Step::PaddedCrop(PaddedCrop::default())),
            FLIP => Ok(Step::Flip),
            _ => Err(E::unknown_variant(name, &STEPS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Step, A::Error> {
        let Some(name) = table.next_key::<String>()? else {
            return Err(A::Error::custom("an empty table stands in the place of a step"));
        };
        let step = match name.as_str() {
            RAND_AUGMENT => Step::RandAugment(table.next_value()?),
            RANDOM_RESIZED_CROP => Step::RandomResizedCrop(table.next_value()?),
            PADDED_CROP => Step::PaddedCrop(table.next_value()?),
            FLIP => return Err(A::Error::custom("\"flip\" has no parameters; write its name alone")),
            _ => return Err(A::Error::unknown_variant(&name, &STEPS)),
        };
        match table.next_key::<String>()? {
            Some(second) => Err(A::Error::custom(format!("\"{second}\" is a second step in one table"))),
            None => Ok(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::experiment::parse_toml;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Recipe {
        seed: u64,
        augmentation: Augmentation,
        after: Table,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Table {
        value: f64,
    }

    fn read(augmentation: &str) -> Result<Augmentation, String> {
        let text = format!("seed = 1\naugmentation = {augmentation}\nafter = {{ value = 1.0 }}");
        parse_toml::<Recipe>(&text, "test")
            .map(|recipe| recipe.augmentation)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_tables_and_their_defaults_are_read() {
        let defaults = "[\"rand-augment\", \"random-resized-crop\", \"padded-crop\", \"flip\"]";
        let in_full = "[{ rand-augment = { operations = 2, magnitude = 9 } }, \
             { random-resized-crop = { scale = [0.08, 1], ratio = [0.75, 1.3333333333333333] } }, \
             { padded-crop = { padding = 4 } }, \"flip\"]";
        assert_eq!(read(defaults), read(in_full));
        let Ok(Augmentation::Steps(steps)) = read(defaults) else { panic!("{:?}", read(defaults)) };
        let names: Vec<&str> = steps.iter().map(Step::name).collect();
        assert_eq!(names, [RAND_AUGMENT, RANDOM_RESIZED_CROP, PADDED_CROP, FLIP]);
        let partly = read("[{ rand-augment = { magnitude = 4.5 } }]");
        let expected = RandAugment { operations: 2, magnitude: 4.5 };
        assert_eq!(partly, Ok(Augmentation::Steps(vec![Step::RandAugment(expected)])));
    }

    #[test]
    fn lists_that_need_no_original_are_the_old_words() {
        assert_eq!(read("[]"), Ok(Augmentation::None));
        assert_eq!(read("\"none\""), Ok(Augmentation::None));
        assert_eq!(read("[\"flip\"]"), Ok(Augmentation::Flip));
        assert_eq!(read("\"flip\""), Ok(Augmentation::Flip));
    }

    #[test]
    fn what_is_written_is_read_again_and_holds_every_parameter() {
        for (given, written) in [
            ("\"none\"", "augmentation = \"none\""),
            ("[\"flip\"]", "augmentation = \"flip\""),
            ("[\"padded-crop\", \"flip\"]", "augmentation = [{ padded-crop = { padding = 4 } }, \"flip\"]"),
            ("[\"rand-augment\"]", "operations = 2"),
            ("[\"rand-augment\", \"random-resized-crop\"]", "0.08"),
        ] {
            let recipe = Recipe { seed: 1, augmentation: read(given).unwrap(), after: Table { value: 2.0 } };
            let text = toml::to_string(&recipe).unwrap();
            assert!(text.contains(written), "{text}");
            assert_eq!(parse_toml::<Recipe>(&text, "again").unwrap(), recipe, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (given, parts) in [
            ("\"flop\"", &["`flop`", "did you mean `flip`?"][..]),
            ("[\"rand-agument\"]", &["`rand-agument`", "did you mean `rand-augment`?"]),
            ("[{ rand-agument = {} }]", &["did you mean `rand-augment`?"]),
            ("[{ rand-augment = { magnitud = 3 } }]", &["did you mean `magnitude`?"]),
            ("\"rand-augment\"", &["[\"rand-augment\"]"]),
            ("3", &["a list of steps"]),
            ("[3]", &["name of a step"]),
            ("[{ random-resized-crop = { scale = [0.5] } }]", &["scale"]),
            ("[{ padded-crop = { padding = -1 } }]", &["-1"]),
            ("[{ padded-crop = {}, rand-augment = {} }]", &["\"rand-augment\" is a second step"]),
            ("[{}]", &["empty table"]),
            ("[{ flip = {} }]", &["no parameters"]),
        ] {
            let message = read(given).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{given}: {message}");
            }
        }
    }
}
