//! The built-in list: models that the documentation names, where they are published, and what is known of them.
//!
//! Commits and hashes are those that several independent public projects pin or record for these repositories; OpenAI's
//! are part of the addresses in its own code. Nothing is listed here that has not been found in public.

use crate::error::FetchError;

/// A model that has a name.
#[derive(Debug)]
pub struct Entry {
    /// What a person types.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// What it is good for here.
    pub used_as: Use,
    /// The licence that its publisher states.
    pub licence: &'static str,
    /// Size of what is downloaded, roughly, in megabytes (10^6 bytes).
    pub megabytes: Option<u32>,
    /// Where it is.
    pub source: Source,
}

/// What a model is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A CLIP: `--model`.
    Clip,
    /// An image encoder: `--backbone`.
    Backbone,
    /// A text encoder: `method.text` of TeS.
    Text,
}

/// Where a model is published.
#[derive(Debug)]
pub enum Source {
    /// A repository of the hub.
    Hub {
        /// `org/name`.
        repository: &'static str,
        /// The commit, or a branch where no commit is known.
        commit: &'static str,
        /// SHA-256 of files of that commit.
        sha256: &'static [(&'static str, &'static str)],
    },
    /// One file.
    File {
        /// Its address.
        url: &'static str,
        /// Its name.
        file: &'static str,
        /// What its publisher says of its contents.
        published: Published,
    },
}

/// What a publisher says of the contents of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Its SHA-256.
    Sha256(&'static str),
    /// The first digits of its MD5.
    Md5Prefix(&'static str),
    /// Nothing.
    Nothing,
}

/// All models that have names.
pub fn all() -> &'static [Entry] {
    &ENTRIES
}

/// The model called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

pub(crate) fn unknown(name: &str) -> FetchError {
    let similar = |entry: &Entry| strsim::jaro_winkler(&name.to_lowercase(), entry.name);
    let nearest = ENTRIES
        .iter()
        .map(|entry| (similar(entry), entry.name))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    FetchError::UnknownName {
        name: name.to_owned(),
        nearest: nearest.map(|(_, name)| name.to_owned()),
        known: ENTRIES.iter().map(|entry| entry.name).collect(),
    }
}

static ENTRIES: [Entry; 12] = [
    Entry {
        name: "openai-vit-b32",
        what: "OpenAI's CLIP ViT-B/32",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(609),
        source: Source::Hub {
            repository: "openai/clip-vit-base-patch32",
            commit: "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
            sha256: &[(
                "pytorch_model.bin",
                "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
            )],
        },
    },
    Entry {
        name: "openai-vit-b16",
        what: "OpenAI's CLIP ViT-B/16",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(603),
        source: Source::Hub {
            repository: "openai/clip-vit-base-patch16",
            commit: "57c216476eefef5ab752ec549e440a49ae4ae5f3",
            sha256: &[],
        },
    },
    Entry {
        name: "openai-vit-l14",
        what: "OpenAI's CLIP ViT-L/14",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(1714),
        source: Source::Hub {
            repository: "openai/clip-vit-large-patch14",
            commit: "32bd64288804d66eefd0ccbe215aa642df71cc41",
            sha256: &[(
                "model.safetensors",
                "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
            )],
        },
    },
    Entry {
        name: "openai-vit-l14-336",
        what: "OpenAI's CLIP ViT-L/14 for 336 pixels",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(1716),
        source: Source::Hub {
            repository: "openai/clip-vit-large-patch14-336",
            commit: "ce19dc912ca5cd21c8a653c79e251e808ccabcd1",
            sha256: &[(
                "pytorch_model.bin",
                "c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
            )],
        },
    },
    Entry {
        name: "openai-rn50",
        what: "OpenAI's CLIP ResNet-50",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(256),
        source: Source::File {
            url: "https://openaipublic.azureedge.net/clip/models/\
                  afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
            file: "RN50.pt",
            published: Published::Sha256("afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
        },
    },
    Entry {
        name: "openai-rn101",
        what: "OpenAI's CLIP ResNet-101",
        used_as: Use::Clip,
        licence: "MIT (of the code)",
        megabytes: Some(292),
        source: Source::File {
            url: "https://openaipublic.azureedge.net/clip/models/\
                  8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt",
            file: "RN101.pt",
            published: Published::Sha256("8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
        },
    },
    Entry {
        name: "laion-vit-b32",
        what: "open_clip ViT-B/32 of LAION-2B",
        used_as: Use::Clip,
        licence: "MIT",
        megabytes: Some(609),
        source: Source::Hub {
            repository: "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            commit: "1a25a446712ba5ee05982a381eed697ef9b435cf",
            sha256: &[(
                "open_clip_model.safetensors",
                "ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
            )],
        },
    },
    Entry {
        name: "laion-vit-b16",
        what: "open_clip ViT-B/16 of LAION-2B",
        used_as: Use::Clip,
        licence: "MIT",
        megabytes: Some(603),
        source: Source::Hub {
            repository: "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
            commit: "7288da5a0d6f0b51c4a2b27c624837a9236d0112",
            sha256: &[],
        },
    },
    Entry {
        name: "laion-vit-l14",
        what: "open_clip ViT-L/14 of LAION-2B",
        used_as: Use::Clip,
        licence: "MIT",
        megabytes: Some(1714),
        source: Source::Hub {
            repository: "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
            commit: "1627032197142fbe2a7cfec626f4ced3ae60d07a",
            sha256: &[(
                "open_clip_pytorch_model.bin",
                "5ddb47339f44e4fd9cace3d3960d38af1b51a25857440cfae90afc44706d7e2b",
            )],
        },
    },
    Entry {
        name: "tinyclip-8m",
        what: "TinyCLIP ViT-8M/16, text 3M, of YFCC-15M",
        used_as: Use::Clip,
        licence: "MIT",
        megabytes: Some(98),
        source: Source::Hub {
            repository: "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M",
            commit: "a2a8c6eaa2549ad66eb7c31b85022bf58273a26c",
            sha256: &[(
                "model.safetensors",
                "9339ee3d736344d0ddcaa6c03edc9f89688f08caaea5401220885233da726fcc",
            )],
        },
    },
    Entry {
        name: "resnet50-moco-v2",
        what: "ResNet-50 of MoCo v2, 800 epochs",
        used_as: Use::Backbone,
        licence: "CC BY-NC 4.0",
        megabytes: None,
        source: Source::File {
            url: "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
            file: "moco_v2_800ep_pretrain.pth.tar",
            published: Published::Md5Prefix("a04e12f8"),
        },
    },
    Entry {
        name: "bert-base",
        what: "BERT base, uncased",
        used_as: Use::Text,
        licence: "Apache 2.0",
        megabytes: Some(441),
        source: Source::Hub {
            repository: "google-bert/bert-base-uncased",
            commit: "86b5e0934494bd15c9632b12f734a8a67f723594",
            sha256: &[(
                "model.safetensors",
                "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
            )],
        },
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::address::Address;
    use crate::digest::is_hexadecimal;
    use crate::fetch::Wanted;
    use crate::selection::WEIGHTS;

    #[test]
    fn every_entry_is_well_formed() {
        let names: BTreeSet<&str> = all().iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), all().len());
        for entry in all() {
            Wanted::parse(entry.name).unwrap();
            match &entry.source {
                Source::Hub { commit, sha256, .. } => {
                    assert!(is_hexadecimal(commit, 40), "{}", entry.name);
                    for (file, sha256) in *sha256 {
                        assert!(WEIGHTS.contains(file) && is_hexadecimal(sha256, 64), "{}", entry.name);
                    }
                }
                Source::File { url, file, published } => {
                    assert!(Address::parse(url).is_ok() && url.starts_with("https://"), "{}", entry.name);
                    assert!(url.ends_with(file), "{}", entry.name);
                    match published {
                        Published::Sha256(sha256) => {
                            assert!(is_hexadecimal(sha256, 64) && url.contains(sha256))
                        }
                        Published::Md5Prefix(md5) => assert!(is_hexadecimal(md5, 8)),
                        Published::Nothing => {}
                    }
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_tells_the_nearest_and_all() {
        let told = Wanted::parse("openai-vitb32").unwrap_err().to_string();
        assert!(told.contains("did you mean `openai-vit-b32`?") && told.contains("bert-base"), "{told}");
        let told = Wanted::parse("qqq").unwrap_err().to_string();
        assert!(!told.contains("did you mean") && told.contains("tinyclip-8m"), "{told}");
    }

    #[test]
    fn a_name_may_have_a_revision_if_it_is_a_repository() {
        assert!(Wanted::parse("openai-vit-b32@main").is_ok());
        assert!(Wanted::parse("org/name@v1").is_ok());
        assert!(Wanted::parse("openai-vit-b32@../x").unwrap_err().is_of_request());
        assert!(Wanted::parse("openai-rn50@main").unwrap_err().to_string().contains("no revisions"));
    }
}
