//! Where an export goes: never over anything else, and whole or not at all.

use std::path::{Path, PathBuf};

use super::{CLASSES, CLASSIFIER, ExportError, README};

/// What an export writes into a folder besides.
const MODEL_FILES: [&str; 5] = [
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Checks that a folder can be made at `out`, in the place of an earlier export if `replace`.
pub(super) fn check_folder(out: &Path, replace: bool) -> Result<(), ExportError> {
    name_of(out)?;
    let path = || out.to_owned();
    if std::fs::symlink_metadata(out).is_err() {
        return Ok(());
    }
    if !replace {
        return Err(ExportError::Exists { path: path() });
    }
    let entries = std::fs::read_dir(out).map_err(|source| ExportError::Write { path: path(), source })?;
    for entry in entries {
        let entry = entry.map_err(|source| ExportError::Write { path: path(), source })?.file_name();
        let known = MODEL_FILES.iter().chain(&[CLASSES, CLASSIFIER, README]);
        if !known.into_iter().any(|known| entry == **known) {
            let entry = entry.to_string_lossy().into_owned();
            return Err(ExportError::Foreign { path: path(), entry });
        }
    }
    Ok(())
}

/// Checks that files can be written, over others if `replace`.
pub(super) fn check_files(files: &[PathBuf], replace: bool) -> Result<(), ExportError> {
    for path in files {
        name_of(path)?;
        let there = std::fs::symlink_metadata(path);
        if there.is_ok_and(|there| !replace || there.is_dir()) {
            return Err(ExportError::Exists { path: path.clone() });
        }
    }
    Ok(())
}

/// Makes the folder `out` with what `fill` writes into it: the folder appears, or takes the place of an earlier one,
/// when all of it is there.
pub(super) fn folder(
    out: &Path,
    fill: impl FnOnce(&Path) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let beside = |ending: &str| {
        let mut name = name_of(out)?.to_owned();
        name.push(format!(".{}.{ending}", std::process::id()));
        Ok::<_, ExportError>(out.with_file_name(name))
    };
    let (new, old) = (beside("part")?, beside("old")?);
    let failed = |path: &Path, source| ExportError::Write { path: path.to_owned(), source };
    let made = std::fs::create_dir_all(&new).map_err(|source| failed(&new, source));
    let filled = made.and_then(|()| fill(&new)).and_then(|()| {
        let replaces = out.exists();
        if replaces {
            std::fs::rename(out, &old).map_err(|source| failed(out, source))?;
        }
        std::fs::rename(&new, out).map_err(|source| {
            if replaces {
                // Back to what was there; the error that matters is that of the new folder.
                let _ = std::fs::rename(&old, out);
            }
            failed(out, source)
        })
    });
    // Leftovers are only untidy.
    let _ = std::fs::remove_dir_all(if filled.is_ok() { &old } else { &new });
    filled
}

fn name_of(path: &Path) -> Result<&std::ffi::OsStr, ExportError> {
    path.file_name().ok_or_else(|| ExportError::Place { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> impl FnOnce(&Path) -> Result<(), ExportError> {
        let name = path.to_owned();
        move |folder| {
            std::fs::write(folder.join(&name), "x")
                .map_err(|source| ExportError::Write { path: name, source })
        }
    }

    #[test]
    fn folders_appear_whole_and_replace_only_exports() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        check_folder(&out, false).unwrap();
        folder(&out, write(Path::new("config.json"))).unwrap();
        assert!(matches!(check_folder(&out, false), Err(ExportError::Exists { .. })));
        check_folder(&out, true).unwrap();
        folder(&out, write(Path::new("README.md"))).unwrap();
        let entries: Vec<_> =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(entries, ["README.md"]);
        // A failure leaves what was there, and nothing else.
        assert!(folder(&out, |_| Err(ExportError::Backbone { reason: "no" })).is_err());
        assert!(out.join("README.md").is_file());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        std::fs::write(out.join("thesis.tex"), "x").unwrap();
        assert!(
            matches!(check_folder(&out, true), Err(ExportError::Foreign { entry, .. }) if entry == "thesis.tex")
        );
        assert!(matches!(check_folder(Path::new(".."), true), Err(ExportError::Place { .. })));
    }
}
