//! Names of classes that are known without the files, one per line in the order of the labels: what
//! [`check`](crate::published::check) compares the names of split files and folders with.

/// Folder names without the background and `Faces_easy`, four of them renamed by CoOp. Capitals sorted first, so that
/// the renamed faces, leopards and motorbikes lead.
pub(super) const CALTECH101: &str = include_str!("../../../assets/class_names/caltech101.txt");
/// Breeds, from file names, in lower case.
pub(super) const OXFORD_PETS: &str = include_str!("../../../assets/class_names/oxford_pets.txt");
/// Folder names.
pub(super) const FOOD101: &str = include_str!("../../../assets/class_names/food101.txt");
/// Folder names.
pub(super) const DTD: &str = include_str!("../../../assets/class_names/dtd.txt");
/// Folder names, renamed by CoOp.
pub(super) const EUROSAT: &str = include_str!("../../../assets/class_names/eurosat.txt");
/// From the file names, sorted.
pub(super) const BAR: &str = include_str!("../../../assets/class_names/bar.txt");
/// Folder names; label 0 is 1 in the list files.
pub(super) const PACS: &str = include_str!("../../../assets/class_names/pacs.txt");
/// `batches.meta.txt`.
pub(super) const CIFAR10: &str = include_str!("../../../assets/class_names/cifar10.txt");
/// `fine_label_names.txt`.
pub(super) const CIFAR100: &str = include_str!("../../../assets/class_names/cifar100.txt");
