//! The names of the classes, in the order of the labels, and a digest of them: two results can only be compared if
//! their prompts named the same classes in the same order.

use sha2::{Digest, Sha256};

use super::hex;

/// The names of the classes as the data set writes them, in the order of the labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassNames {
    /// Which naming this is: `coop-1` for the names of CoOp's split files, `folders` for names of folders.
    pub version: String,
    /// The names. Two classes may share one, as in ImageNet.
    pub names: Vec<String>,
}

impl ClassNames {
    /// Names with the version of their source.
    pub fn new(version: impl Into<String>, names: Vec<String>) -> Self {
        Self { version: version.into(), names }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names for prompts: underscores become blanks, case is kept (the rule of CoOp and of those who build on it;
    /// R-AMT also lowers the case).
    pub fn for_prompts(&self) -> Vec<String> {
        self.names.iter().map(|name| name.replace('_', " ")).collect()
    }

    /// The sha256, in hex, over the names in order, each followed by a line feed.
    pub fn digest(&self) -> String {
        Self::digest_of(self.names.iter().map(String::as_str))
    }

    /// [`digest`](Self::digest) of names that are not in a list of their own.
    pub fn digest_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
        let mut hash = Sha256::new();
        for name in names {
            hash.update(name.as_bytes());
            hash.update(b"\n");
        }
        hex(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_lines() {
        let classes = ClassNames::new("folders", vec!["cat".into(), "polar_bear".into()]);
        // printf 'cat\npolar_bear\n' | sha256sum
        assert_eq!(classes.digest(), "b8fb3570f1eeb93ad70f100f4ef132058af54ac3c2a15e0eca3ba1dd0181f2de");
        assert_eq!(classes.for_prompts(), ["cat", "polar bear"]);
    }
}
