//! Lists and checks the files of an image folder without decoding any of them.
//!
//! Everything that is wrong with names, classes and domains is found here, in seconds, so that a
//! training run never stops half-way through decoding for a misspelt domain.

use std::path::{Path, PathBuf};

use super::classes::{self, ClassName};
use super::entries::{Entries, ImageFile};
use super::error::{FolderError, nearest};
use super::layout::{self, Layout};
use super::listing::{FolderListing, ListedFile, ListedSplit};
use super::split::hold_out;

/// What to read from a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderRequest {
    /// The folder.
    pub root: PathBuf,
    /// Its layout; `None` (the default) finds it from the content.
    pub layout: Option<Layout>,
    /// Domains to train on. Needed for, and only for, [`Layout::Domains`].
    pub train_domains: Vec<String>,
    /// Domains to test on; each becomes a split `ood:<domain>`.
    pub test_domains: Vec<String>,
    /// Share of the training images of every class that becomes the test split `id`, in `[0, 1)`;
    /// 0.1 by default, 0 for sets whose `test` is from the same distribution as `train`.
    pub hold_out: f64,
}

impl FolderRequest {
    /// A request for `root` with every other field at its default.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            layout: None,
            train_domains: Vec::new(),
            test_domains: Vec::new(),
            hold_out: 0.1,
        }
    }
}

/// Lists and checks the image files of a folder.
///
/// # Errors
/// Every [`FolderError`] that does not need a decoded image: see its variants.
pub fn scan(request: &FolderRequest) -> Result<FolderListing, FolderError> {
    if !(0.0..1.0).contains(&request.hold_out) {
        return Err(FolderError::HoldOut { hold_out: request.hold_out });
    }
    let root = open_root(&request.root)?;
    let layout = find_layout(request, &root)?;
    let mut walk = Walk { root: &request.root, ignored: 0, unused_folders: Vec::new() };
    walk.count(&root);
    walk.ignored += root.images.len();
    let (train, tests) = match layout {
        Layout::ClassFolders => walk.train_and_test(&root, Walk::class_folders)?,
        Layout::FlatFiles => walk.train_and_test(&root, Walk::flat_files)?,
        Layout::Domains => walk.domains(&root, request)?,
    };
    let Walk { ignored, mut unused_folders, .. } = walk;
    unused_folders.sort();
    let class_names = class_names(&train, &tests)?;
    let mut train = label("train".to_owned(), train, &class_names, &request.root)?;
    let mut splits = Vec::new();
    let raw_names: Vec<&str> = class_names.iter().map(String::as_str).collect();
    let held = hold_out(&mut train.files, &raw_names, request.hold_out);
    if !held.is_empty() {
        splits.push(ListedSplit { name: "id".to_owned(), files: held });
    }
    for (name, files) in tests {
        splits.push(label(name, files, &class_names, &request.root)?);
    }
    let classes = raw_names.into_iter().map(ClassName::new).collect();
    Ok(FolderListing {
        root: request.root.clone(),
        layout,
        classes,
        train,
        tests: splits,
        ignored,
        unused_folders,
    })
}

fn open_root(path: &Path) -> Result<Entries, FolderError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Entries::read(path),
        Ok(_) => Err(FolderError::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(FolderError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(FolderError::Unreadable { path: path.to_owned(), source }),
    }
}

fn find_layout(request: &FolderRequest, root: &Entries) -> Result<Layout, FolderError> {
    let layout = match request.layout {
        Some(layout) => layout,
        None => Layout::detect(root)?,
    };
    let domains_given = !request.train_domains.is_empty() || !request.test_domains.is_empty();
    if layout != Layout::Domains && domains_given {
        return Err(FolderError::DomainsNotUsed { root: root.path.clone(), layout });
    }
    Ok(layout)
}

/// A file and the raw name of its class.
struct Found {
    class: String,
    file: ImageFile,
}

/// The pass over the folders that a layout uses; counts what it leaves aside.
struct Walk<'a> {
    root: &'a Path,
    ignored: usize,
    unused_folders: Vec<String>,
}

/// Training files, and test splits by name.
type Splits = (Vec<Found>, Vec<(String, Vec<Found>)>);

impl Walk<'_> {
    fn read(&mut self, path: &Path) -> Result<Entries, FolderError> {
        let entries = Entries::read(path)?;
        self.count(&entries);
        Ok(entries)
    }

    fn count(&mut self, entries: &Entries) {
        self.ignored += entries.ignored;
        self.leave_aside(&entries.linked_folders);
    }

    fn leave_aside(&mut self, folders: &[PathBuf]) {
        let shown = |folder: &PathBuf| folder.strip_prefix(self.root).unwrap_or(folder).display().to_string();
        self.unused_folders.extend(folders.iter().map(shown));
    }

    fn train_and_test(
        &mut self,
        root: &Entries,
        read: fn(&mut Self, &Path) -> Result<Vec<Found>, FolderError>,
    ) -> Result<Splits, FolderError> {
        let Some(train) = root.folder("train") else { return Err(layout::unknown(root)?) };
        let test = root.folder("test");
        let used = |folder: &Path| folder == train || Some(folder) == test;
        let others: Vec<PathBuf> = root.folders.iter().filter(|folder| !used(folder)).cloned().collect();
        self.leave_aside(&others);
        let train = read(self, train)?;
        let tests = match test {
            Some(test) => vec![("test".to_owned(), read(self, test)?)],
            None => Vec::new(),
        };
        Ok((train, tests))
    }

    /// `<class>/*` below `split`.
    fn class_folders(&mut self, split: &Path) -> Result<Vec<Found>, FolderError> {
        let entries = self.read(split)?;
        self.ignored += entries.images.len();
        if entries.folders.is_empty() {
            return Err(entries.empty("class folders"));
        }
        let mut found = Vec::new();
        for folder in &entries.folders {
            let class = classes::of_folder(folder)?;
            let entries = self.read(folder)?;
            self.leave_aside(&entries.folders);
            if entries.images.is_empty() {
                let (path, ignored) = (folder.clone(), entries.ignored);
                return Err(FolderError::ClassWithoutImages { class, path, ignored });
            }
            found.extend(entries.images.into_iter().map(|file| Found { class: class.clone(), file }));
        }
        Ok(found)
    }

    /// `<class>_<number>.<ext>` directly in `split`.
    fn flat_files(&mut self, split: &Path) -> Result<Vec<Found>, FolderError> {
        let mut entries = self.read(split)?;
        self.leave_aside(&entries.folders);
        if entries.images.is_empty() {
            return Err(entries.empty("images"));
        }
        let images = std::mem::take(&mut entries.images);
        images.into_iter().map(|file| Ok(Found { class: classes::of_flat_file(&file.path)?, file })).collect()
    }

    fn domains(&mut self, root: &Entries, request: &FolderRequest) -> Result<Splits, FolderError> {
        let name_of = |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let found: Vec<String> = root.folders.iter().filter_map(name_of).collect();
        if found.is_empty() {
            return Err(root.empty("domain folders"));
        }
        if request.train_domains.is_empty() {
            return Err(FolderError::DomainsNotGiven { root: root.path.clone(), found });
        }
        let asked: Vec<&String> = request.train_domains.iter().chain(&request.test_domains).collect();
        for (i, &domain) in asked.iter().enumerate() {
            if root.folder(domain).is_none() {
                let (domain, nearest) = (domain.clone(), nearest(domain, &found));
                return Err(FolderError::UnknownDomain { root: root.path.clone(), domain, nearest, found });
            }
            if asked.iter().take(i).any(|&earlier| earlier == domain) {
                return Err(FolderError::RepeatedDomain { domain: domain.clone() });
            }
        }
        let mut train = Vec::new();
        for domain in &request.train_domains {
            train.extend(self.class_folders(&self.root.join(domain))?);
        }
        let mut tests = Vec::new();
        for domain in &request.test_domains {
            tests.push((format!("ood:{domain}"), self.class_folders(&self.root.join(domain))?));
        }
        let unasked = |folder: &&PathBuf| name_of(folder).is_none_or(|name| !asked.contains(&&name));
        let unasked: Vec<PathBuf> = root.folders.iter().filter(unasked).cloned().collect();
        self.leave_aside(&unasked);
        Ok((train, tests))
    }
}

/// The sorted raw names of the training classes; checks those of the tests against them.
fn class_names(train: &[Found], tests: &[(String, Vec<Found>)]) -> Result<Vec<String>, FolderError> {
    let everywhere = train.iter().chain(tests.iter().flat_map(|(_, files)| files));
    classes::check_distinct(everywhere.map(|found| found.class.as_str()))?;
    let mut names: Vec<String> = train.iter().map(|found| found.class.clone()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Turns class names into labels and sorts the files.
fn label(
    name: String,
    found: Vec<Found>,
    classes: &[String],
    root: &Path,
) -> Result<ListedSplit, FolderError> {
    let mut files = Vec::with_capacity(found.len());
    for Found { class, file: ImageFile { path, bytes } } in found {
        let Ok(label) = classes.binary_search(&class) else {
            let (nearest, classes) = (nearest(&class, classes), classes.to_owned());
            return Err(FolderError::LabelOutsideClasses { class, path, nearest, classes });
        };
        let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
        files.push(ListedFile { path, relative, bytes, label });
    }
    files.sort_by_cached_key(ListedFile::key);
    Ok(ListedSplit { name, files })
}
