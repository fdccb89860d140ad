//! What is known of a published data set before anyone has downloaded it.

use std::fmt;

/// A published data set: where it comes from, how it lies on disk, and what it should hold.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedDataset {
    /// Name on the command line and in recipes.
    pub name: &'static str,
    /// Name in papers.
    pub title: &'static str,
    /// Folders that it is usually in, below the folder of all data sets; the first is that of CoOp or Dassl.
    pub folders: &'static [&'static str],
    /// How it lies on disk.
    pub layout: PublishedLayout,
    /// What it consists of, and where each part comes from.
    pub parts: &'static [Part],
    /// Page that describes it.
    pub homepage: &'static str,
    /// Terms of use, shortly. The terms of the homepage hold.
    pub licence: &'static str,
    /// Size of the download in megabytes, roughly; `None` where it is not known.
    pub megabytes: Option<u32>,
    /// Templates with `{}` for the class name; the first is the default.
    pub templates: &'static [Template],
    /// Its classes.
    pub classes: PublishedClasses,
    /// Its splits with their published sizes.
    pub splits: &'static [PublishedSplit],
    /// Where the sizes are published.
    pub counts_from: &'static str,
}

/// A part of a data set. It is there if any of its paths is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Paths relative to the folder of the data set.
    pub paths: &'static [&'static str],
    /// How to get it: an address, or what to do.
    pub how: &'static str,
}

/// A prompt template and where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// The text, with `{}` for the class name.
    pub text: &'static str,
    /// Whose it is.
    pub from: &'static str,
}

/// The classes of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedClasses {
    /// Number of classes.
    pub count: usize,
    /// Which naming this is; part of every listing.
    pub version: &'static str,
    /// The names in the order of the labels, one per line, where they are known without the files.
    pub names: Option<&'static str>,
    /// The names of the class folders, one per line, where folders are not named as the classes.
    pub folders: Option<&'static str>,
}

/// A split and its published size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedSplit {
    /// Name of the split in listings.
    pub name: &'static str,
    /// Number of its images.
    pub images: Option<usize>,
    /// Number of its images of each class.
    pub per_class: Option<&'static [usize]>,
    /// Number of its images of each domain.
    pub per_domain: Option<&'static [usize]>,
}

impl PublishedSplit {
    /// A split of `images` images.
    pub(super) const fn of(name: &'static str, images: usize) -> Self {
        Self { name, images: Some(images), per_class: None, per_domain: None }
    }

    /// A split of unknown size.
    pub(super) const fn unknown(name: &'static str) -> Self {
        Self { name, images: None, per_class: None, per_domain: None }
    }
}

/// How a data set lies on disk, with what differs between data sets of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedLayout {
    /// Images in a folder, and a `split_zhou_*.json` of CoOp that says which are in which split.
    SplitFile {
        /// Folder of the images; empty for the folder of the data set.
        images: &'static str,
        /// The split file.
        file: &'static str,
    },
    /// `images/{train,val}/<wnid>/*`, named by `classnames.txt`; `val` tests.
    ImageNet,
    /// `<images>/<wnid>/*`, named by `classnames.txt`; all of it tests.
    WnidFolders {
        /// Folder of the class folders.
        images: &'static str,
    },
    /// `<images>/<label>/*`, labels being lines of `classnames.txt` from 0; all of it tests.
    NumberedFolders {
        /// Folder of the class folders.
        images: &'static str,
    },
    /// `train/n0…/*` and others by list files with lines `<path> <label>`, named by `classnames.txt`.
    ImageNetLists,
    /// `images/<name>.jpg`, `variants.txt` and `images_variant_{train,val,test}.txt`.
    Aircraft,
    /// `{train,test}/<class>_<number>.<ext>`.
    FlatFiles,
    /// `<domain>/<class>/*`, split by `<domain>_{train,crossval}_kfold.txt` where these are there.
    KfoldLists {
        /// The domains in the order of the listing.
        domains: &'static [&'static str],
    },
    /// `<domain>_{train,test}.txt` with lines `<path> <label>`.
    DomainLists {
        /// The domains in the order of the listing.
        domains: &'static [&'static str],
    },
    /// `<domain>/<class>/*`, or `<domain>/{train,val}/<class>/*`; each domain under one of several names.
    DomainFolders {
        /// The domains in the order of the listing, each with the names that its folder may have.
        domains: &'static [&'static [&'static str]],
    },
    /// `<superclass>/<class>/<context>/*`; contexts are domains.
    ContextFolders {
        /// Names that the folder of the superclass may have.
        superclass: &'static [&'static str],
    },
    /// The binary or the Python archive of CIFAR-10.
    Cifar10,
    /// The binary or the Python archive of CIFAR-100, by fine labels.
    Cifar100,
}

impl fmt::Display for PublishedLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitFile { images: "", file } => write!(f, "images, `{file}`"),
            Self::SplitFile { images, file } => write!(f, "`{images}/`, `{file}`"),
            Self::ImageNet => f.write_str("`images/{train,val}/<wnid>/*`, `classnames.txt`"),
            Self::WnidFolders { images } => write!(f, "`{images}/<wnid>/*`, `classnames.txt`"),
            Self::NumberedFolders { images } => write!(f, "`{images}/<label>/*`, `classnames.txt`"),
            Self::ImageNetLists => f.write_str(
                "ImageNet's folders, `classnames.txt`, `ImageNet_LT/ImageNet_LT_{train,val,test}.txt`",
            ),
            Self::Aircraft => {
                f.write_str("`images/*.jpg`, `variants.txt`, `images_variant_{train,val,test}.txt`")
            }
            Self::FlatFiles => f.write_str("`{train,test}/<class>_<number>.*`"),
            Self::KfoldLists { .. } => {
                f.write_str("`<domain>/<class>/*`, `<domain>_{train,crossval}_kfold.txt` if present")
            }
            Self::DomainLists { .. } => f.write_str("`<domain>/<class>/*`, `<domain>_{train,test}.txt`"),
            Self::DomainFolders { .. } => {
                f.write_str("`<domain>/<class>/*` or `<domain>/{train,val}/<class>/*`")
            }
            Self::ContextFolders { superclass } => {
                write!(f, "`{}/<class>/<context>/*`", superclass.first().unwrap_or(&""))
            }
            Self::Cifar10 => f.write_str("`cifar-10-batches-bin/*.bin` or `cifar-10-batches-py/*`"),
            Self::Cifar100 => f.write_str("`cifar-100-binary/*.bin` or `cifar-100-python/*`"),
        }
    }
}

impl PublishedDataset {
    /// The template that is used unless a recipe names others.
    pub fn template(&self) -> &'static str {
        self.templates.first().map_or("a photo of a {}.", |template| template.text)
    }

    /// The digest of the published class names (see [`ClassNames::digest`](crate::listing::ClassNames::digest)),
    /// where they are known without the files.
    pub fn class_digest(&self) -> Option<String> {
        self.classes.names.map(|names| crate::listing::ClassNames::digest_of(names.lines()))
    }
}
