//! Captions: few attributes, several sentences, now and then a wrong or a more general word.
//!
//! Captions name few attributes on purpose. With many, the images of a batch can be told apart by
//! colour, background and style alone, and a contrastive loss then never learns the class.

use regulus_images::random::Stream;

use super::parameters::{
    CAPTION_COLOUR, CAPTION_HYPERNYM, CAPTION_SENTENCE_WEIGHTS, CAPTION_SIZE, CAPTION_SIZE_LIMITS,
    CAPTION_TEXTURE, CAPTION_WRONG_CLASS,
};
use super::scene::Scene;
use super::words::{ACTIVE, CONTENT_WORDS, Class, Texture, word_id};

/// The longest caption in words; with start and end tokens it fits a context of 16.
pub const LONGEST_CAPTION: usize = 14;

/// Sentence frames: `STYLE`, `OBJECT` (with its article) and `PLACE` are replaced.
const SENTENCES: [&str; 8] = [
    "a STYLE of OBJECT",
    "a STYLE of OBJECT PLACE",
    "OBJECT PLACE",
    "OBJECT",
    "this is OBJECT",
    "a picture of OBJECT PLACE",
    "there is OBJECT PLACE",
    "an image of OBJECT",
];

/// A caption and what a bag-of-words loss predicts from its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Words of the vocabulary with single spaces.
    pub text: String,
    /// Ids of the words that carry content, in the order of the text: stop words are left out.
    pub content_words: Vec<usize>,
}

/// Draws a caption of `scene`. Pre-training draws a new one at every visit of an image.
pub fn caption(scene: &Scene, stream: &mut Stream) -> Caption {
    let object = object_phrase(scene, stream);
    let sentence = SENTENCES[stream.weighted(&CAPTION_SENTENCE_WEIGHTS)];
    let text = sentence
        .replace("STYLE", scene.style.name())
        .replace("OBJECT", &object)
        .replace("PLACE", scene.background.phrase());
    let content_words = text.split(' ').filter_map(word_id).filter(|&id| id < CONTENT_WORDS).collect();
    Caption { text, content_words }
}

/// The noun with its adjectives and article, such as `an orange striped fish`.
fn object_phrase(scene: &Scene, stream: &mut Stream) -> String {
    let fate = stream.uniform();
    let noun = if fate < CAPTION_WRONG_CLASS {
        another_active_class(scene.class, stream).name()
    } else if fate < CAPTION_WRONG_CLASS + CAPTION_HYPERNYM {
        scene.class.hypernym()
    } else {
        scene.class.name()
    };
    let mut words = Vec::with_capacity(5);
    let (small, big) = CAPTION_SIZE_LIMITS;
    let size = match scene.pose.scale {
        scale if scale < small => Some("small"),
        scale if scale > big => Some("big"),
        _ => None,
    };
    words.extend(size.filter(|_| stream.chance(CAPTION_SIZE)));
    if stream.chance(CAPTION_COLOUR) {
        words.push(scene.colour.name());
    }
    if scene.texture != Texture::Plain && stream.chance(CAPTION_TEXTURE) {
        words.push(scene.texture.name());
    }
    words.push(noun);
    let article = if words[0].starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    words.insert(0, article);
    words.join(" ")
}

/// A class of pre-training other than `class`, each equally likely.
fn another_active_class(class: Class, stream: &mut Stream) -> Class {
    let others = if class.index() < ACTIVE { ACTIVE - 1 } else { ACTIVE };
    let drawn = stream.below(others);
    Class::ALL[if drawn >= class.index() { drawn + 1 } else { drawn }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::words::{Background, Style, VOCABULARY};

    fn captions(visits: u64) -> Vec<(Scene, Caption)> {
        (0..visits)
            .map(|index| {
                let mut stream = Stream::new(1, "caption", 0, index);
                let pick = index as usize;
                let (class, style) = (Class::ALL[pick % 28], Style::ALL[pick / 28 % 4]);
                let scene = Scene::sample(class, Background::ALL[pick % 8], style, &mut stream);
                let caption = caption(&scene, &mut stream);
                (scene, caption)
            })
            .collect()
    }

    #[test]
    fn captions_use_exactly_the_vocabulary_and_are_short() {
        let mut seen = [false; VOCABULARY.len()];
        for (_, caption) in captions(20_000) {
            let words: Vec<&str> = caption.text.split(' ').collect();
            assert!(words.len() <= LONGEST_CAPTION, "{}", caption.text);
            for word in words {
                seen[word_id(word).unwrap_or_else(|| panic!("{word} in {}", caption.text))] = true;
            }
        }
        for (word, seen) in VOCABULARY.iter().zip(seen) {
            assert!(seen, "{word} occurs in no caption");
        }
    }

    fn has(text: &str, word: &str) -> bool {
        text.split(' ').any(|other| other == word)
    }

    #[test]
    fn words_occur_as_often_as_they_should() {
        let drawn = captions(20_000);
        let share = |holds: fn(&(Scene, Caption)) -> bool| {
            drawn.iter().filter(|pair| holds(pair)).count() as f64 / drawn.len() as f64
        };
        assert!((share(|(scene, c)| has(&c.text, scene.class.name())) - 0.84).abs() < 0.01);
        assert!((share(|(scene, c)| has(&c.text, scene.class.hypernym())) - 0.10).abs() < 0.01);
        assert!((share(|(scene, c)| has(&c.text, scene.style.name())) - 0.15).abs() < 0.01);
        assert!((share(|(scene, c)| c.text.ends_with(scene.background.phrase())) - 0.30).abs() < 0.012);
    }

    #[test]
    fn articles_agree_and_stop_words_are_no_content() {
        let drawn = captions(5_000);
        for (_, caption) in &drawn {
            let words: Vec<&str> = caption.text.split(' ').collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "a" || pair[0] == "an") {
                assert_eq!(
                    pair[0] == "an",
                    pair[1].starts_with(['a', 'e', 'i', 'o', 'u']),
                    "{}",
                    caption.text
                );
            }
            let content: Vec<&str> = caption.content_words.iter().map(|&id| VOCABULARY[id]).collect();
            let stop = ["a", "an", "the", "of", "on", "in", "at", "this", "there", "is", "picture", "image"];
            let expected: Vec<&str> = words.into_iter().filter(|word| !stop.contains(word)).collect();
            assert_eq!(content, expected);
            assert!(!content.is_empty());
        }
    }
}
