//! The names of the world: classes, backgrounds, styles, colours and textures, and the vocabulary
//! that they and the captions are made of.
//!
//! The tiny CLIP's tokenizer has one token per word, so the vocabulary is exactly the words that
//! captions and templates can contain. Words that carry content come first: a word is a stop word
//! when its id is at least [`CONTENT_WORDS`].

use serde::Serialize;

/// Declares an enumeration with its values in order and a name for each.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident: $count:literal { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $(#[doc = concat!("`", $text, "`")] $variant),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: [Self; $count] = [$(Self::$variant),*];
            /// The name of every value, in order.
            pub const NAMES: [&'static str; $count] = [$($text),*];

            /// Position in [`ALL`](Self::ALL).
            pub const fn index(self) -> usize {
                self as usize
            }

            /// Name as captions and reports write it.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}

named! {
    /// What an image shows. The first [`ACTIVE`] classes occur in pre-training; neither the word nor
    /// the shape of the others does.
    Class: 28 {
        Ball = "ball", Box = "box", Ring = "ring", Star = "star", Heart = "heart", Moon = "moon",
        House = "house", Tree = "tree", Mushroom = "mushroom", Fish = "fish", Bird = "bird", Cat = "cat",
        Rabbit = "rabbit", Car = "car", Boat = "boat", Plane = "plane", Key = "key",
        Umbrella = "umbrella", Flower = "flower", Butterfly = "butterfly",
        Bottle = "bottle", Hammer = "hammer", Chair = "chair", Snake = "snake", Rocket = "rocket",
        Lamp = "lamp", Cup = "cup", Cross = "cross",
    }
}

named! {
    /// Where the object is.
    Background: 8 {
        Grass = "grass", Sky = "sky", Water = "water", Sand = "sand", Brick = "brick", Night = "night",
        Snow = "snow", Forest = "forest",
    }
}

named! {
    /// How the image is made.
    Style: 4 { Photo = "photo", Cartoon = "cartoon", Sketch = "sketch", Painting = "painting" }
}

named! {
    /// Named colour of an object.
    Colour: 10 {
        Red = "red", Green = "green", Blue = "blue", Yellow = "yellow", Orange = "orange",
        Purple = "purple", Pink = "pink", White = "white", Black = "black", Brown = "brown",
    }
}

named! {
    /// Texture of an object.
    Texture: 4 { Plain = "plain", Striped = "striped", Dotted = "dotted", Checked = "checked" }
}

/// The names of all classes; the name of a class is also the word of its index in [`VOCABULARY`].
pub const CLASSES: [&str; 28] = Class::NAMES;
/// Number of classes that occur in pre-training: the first of [`CLASSES`].
pub const ACTIVE: usize = 20;

/// Number of words that carry content; those after them in [`VOCABULARY`] are stop words.
pub const CONTENT_WORDS: usize = 65;

/// Every word of captions and templates. The position of a word is its token id.
#[rustfmt::skip]
pub const VOCABULARY: [&str; 77] = [
    "ball", "box", "ring", "star", "heart", "moon", "house", "tree", "mushroom", "fish", "bird", "cat",
    "rabbit", "car", "boat", "plane", "key", "umbrella", "flower", "butterfly", "bottle", "hammer",
    "chair", "snake", "rocket", "lamp", "cup", "cross",
    "toy", "sign", "building", "plant", "animal", "vehicle", "tool", "dish", "furniture",
    "small", "big",
    "red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "black", "brown",
    "striped", "dotted", "checked",
    "grass", "sky", "water", "sand", "brick", "wall", "night", "snow", "forest",
    "photo", "cartoon", "sketch", "painting",
    "a", "an", "the", "of", "on", "in", "at", "this", "there", "is", "picture", "image",
];

/// Prompt templates of the ensemble; the first is the single template. Every word of them occurs in
/// captions, and the article is always the one written here, as in CLIP's own templates.
pub const TEMPLATES: [&str; 9] = [
    "a photo of a {}",
    "a cartoon of a {}",
    "a sketch of a {}",
    "a painting of a {}",
    "a picture of a {}",
    "an image of a {}",
    "this is a {}",
    "there is a {}",
    "a {}",
];

/// The id of `word` in [`VOCABULARY`].
pub fn word_id(word: &str) -> Option<usize> {
    VOCABULARY.iter().position(|&known| known == word)
}

impl Class {
    /// The more general word that captions use now and then.
    pub const fn hypernym(self) -> &'static str {
        match self {
            Self::Ball | Self::Box | Self::Ring => "toy",
            Self::Star | Self::Heart | Self::Moon | Self::Cross => "sign",
            Self::House => "building",
            Self::Tree | Self::Mushroom | Self::Flower => "plant",
            Self::Fish | Self::Bird | Self::Cat | Self::Rabbit | Self::Butterfly | Self::Snake => "animal",
            Self::Car | Self::Boat | Self::Plane | Self::Rocket => "vehicle",
            Self::Key | Self::Umbrella | Self::Hammer => "tool",
            Self::Bottle | Self::Cup => "dish",
            Self::Chair | Self::Lamp => "furniture",
        }
    }
}

impl Background {
    /// The phrase that places an object there.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Grass => "on the grass",
            Self::Sky => "in the sky",
            Self::Water => "in the water",
            Self::Sand => "on the sand",
            Self::Brick => "on a brick wall",
            Self::Night => "at night",
            Self::Snow => "in the snow",
            Self::Forest => "in the forest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_the_names_then_the_stop_words_without_repeats() {
        assert_eq!(VOCABULARY[..28], CLASSES);
        assert_eq!(VOCABULARY[CONTENT_WORDS], "a");
        for (id, word) in VOCABULARY.iter().enumerate() {
            assert_eq!(word_id(word), Some(id), "{word} occurs twice");
        }
        let names =
            Style::NAMES.iter().chain(&Colour::NAMES).chain(&Background::NAMES).chain(&Texture::NAMES[1..]);
        for name in names.copied().chain(Class::ALL.map(Class::hypernym)) {
            assert!(word_id(name).is_some_and(|id| id < CONTENT_WORDS), "{name}");
        }
    }

    #[test]
    fn templates_use_known_words() {
        for word in TEMPLATES.iter().flat_map(|template| template.split(' ')).filter(|&word| word != "{}") {
            assert!(word_id(word).is_some(), "{word}");
        }
        assert!(TEMPLATES.iter().all(|template| template.matches("{}").count() == 1));
    }
}
