//! Image folders as torchvision's `ImageFolder` reads them: a folder per class, with any folders below it.

use std::path::Path;

use crate::listing::{ClassNames, DatasetListing, Entry, Images, ListingError, Split, Tree, name_of};

/// Names under which splits are kept; a listing has the first.
const SPLITS: [&[&str]; 3] = [&["train"], &["val", "valid", "validation"], &["test"]];

/// Lists `<root>/{train,val,test}/<class>/**`, or, without a folder `train`, `<root>/<class>/**` as the split `all`.
/// Classes are the sorted folders of `train`.
///
/// # Errors
/// [`ListingError::Unreadable`], [`ListingError::Empty`], [`ListingError::Malformed`] for a class folder whose name is
/// not UTF-8, and [`ListingError::UnknownClass`] for a folder of another split that `train` does not have.
pub fn read_image_folder(root: &Path) -> Result<DatasetListing, ListingError> {
    let mut tree = Tree::new(root);
    let has_train = root.join("train").is_dir();
    let mut places = vec![("all", root.to_owned())];
    if has_train {
        let found = |names: &&[&'static str]| {
            let folder = names.iter().map(|name| root.join(name)).find(|folder| folder.is_dir());
            folder.map(|folder| (names.first().copied().unwrap_or_default(), folder))
        };
        places = SPLITS.iter().filter_map(found).collect();
    }
    let mut names: Vec<String> = Vec::new();
    let mut splits = Vec::new();
    for (at, (split, folder)) in places.iter().enumerate() {
        let classes = tree.folders(folder)?;
        if at == 0 {
            names = classes.iter().map(|(name, _)| name.clone()).collect();
        }
        let mut images = Images::default();
        for (class, path) in classes {
            let label = names.binary_search(&class).map_err(|_| ListingError::UnknownClass {
                entry: path.display().to_string(),
                class,
                list: root.join("train"),
            })?;
            for image in tree.images_below(&path)? {
                images.push(&image, Entry { label, ..Entry::default() }, None);
            }
        }
        if images.is_empty() {
            return Err(ListingError::Empty { path: folder.clone(), expected: "class folders with images" });
        }
        splits.push(Split { name: (*split).to_owned(), images });
    }
    Ok(DatasetListing {
        name: name_of(root),
        root: root.to_owned(),
        classes: ClassNames::new("folders", names),
        domains: Vec::new(),
        splits,
        left_out: tree.left_out,
    })
}
