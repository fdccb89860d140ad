//! Rendered splits kept in a folder for other processes: the runs of a suite see the same images, and rendering them
//! takes a good part of a short run.
//!
//! A kept file can cost time, never a wrong image or an error: it is used only if its name, its header and its checksum are
//! those of the split that is wanted, and rendered anew otherwise; if it cannot be written, nothing is kept. The digest
//! of a split says nothing of the code that renders it. The folder must therefore not outlive the program that made it;
//! `reproduce` makes one for each time it is called. Then a change of the rendering code can never meet old files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::parameters::SIDE;
use super::render::IMAGE_BYTES;
use super::split_plan::SplitPlan;
use crate::LabelledImages;

const MAGIC: [u8; 8] = *b"RegWorld";
const VERSION: u32 = 1;
/// Magic, version, side, number of images, digest of the split.
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 32;
/// Of header and pixels; between the two.
const CHECKSUM_BYTES: usize = 4;

/// The images of a split: read from `folder`, or rendered and kept there.
pub(super) fn images(plan: &SplitPlan, folder: &Path) -> LabelledImages {
    let digest = plan.digest();
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(name);
    let header = header(plan, &digest);
    if let Some(pixels) = read(&path, &header, plan.len()) {
        return LabelledImages { side: SIDE, pixels: pixels.into(), labels: plan.labels() };
    }
    let images = plan.render().images;
    // Without the file, the next process renders the split again.
    let _ = write(&path, &header, &images);
    images
}

fn header(plan: &SplitPlan, digest: &[u8; 32]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts: [&[u8]; 5] = [
        &MAGIC,
        &VERSION.to_le_bytes(),
        &(SIDE as u32).to_le_bytes(),
        &(plan.len() as u64).to_le_bytes(),
        digest,
    ];
    for (byte, part) in header.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *part;
    }
    header
}

/// The pixels of the file at `path`, if it is a whole file with this header.
fn read(path: &Path, header: &[u8; HEADER_BYTES], images: usize) -> Option<Vec<u8>> {
    let pixel_bytes = images.checked_mul(IMAGE_BYTES)?;
    let expected = pixel_bytes.checked_add(HEADER_BYTES + CHECKSUM_BYTES)?;
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() != expected as u64 {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let (mut start, mut checksum) = ([0; HEADER_BYTES], [0; CHECKSUM_BYTES]);
    file.read_exact(&mut start).ok()?;
    file.read_exact(&mut checksum).ok()?;
    if start != *header {
        return None;
    }
    let mut pixels = vec![0; pixel_bytes];
    file.read_exact(&mut pixels).ok()?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(header);
    sum.update(&pixels);
    (sum.finalize().to_le_bytes() == checksum).then_some(pixels)
}

/// Writes a file beside `path` and renames it, so that nobody reads a part. It is not synced: after a crash of the
/// machine it is either whole or refused.
fn write(path: &Path, header: &[u8; HEADER_BYTES], images: &LabelledImages) -> io::Result<()> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(header);
    images.images().for_each(|image| sum.update(image));
    let checksum = sum.finalize().to_le_bytes();
    let partial = path.with_extension(format!("{}.part", std::process::id()));
    let written = File::create(&partial).and_then(|file| {
        let mut file = BufWriter::new(file);
        file.write_all(header)?;
        file.write_all(&checksum)?;
        images.images().try_for_each(|image| file.write_all(image))?;
        file.flush()
    });
    let renamed = written.and_then(|()| fs::rename(&partial, path));
    if renamed.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&partial);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{TaskPlan, TestSet, TestSize};

    const SIZE: TestSize = TestSize { images: 20, set: TestSet::Final };

    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn kept_images_are_those_that_were_rendered() {
        let plans = [
            TaskPlan::bias(0.85, 1, SIZE),
            TaskPlan::base_to_novel(1, SIZE),
            TaskPlan::few_shot(1, 1, SIZE),
            TaskPlan::long_tailed(5, 4.0, 1, SIZE),
        ];
        let folder = tempfile::tempdir().unwrap();
        for plan in &plans {
            let rendered = plan.task(None);
            assert_eq!(plan.task(Some(folder.path())), rendered);
            assert_eq!(plan.task(Some(folder.path())), rendered);
            assert_eq!(plan.render().into_task(), rendered);
        }
        // The last two tasks have the same test split.
        let kept = files(folder.path());
        assert_eq!(kept.len(), 3 + 3 + 2 + 1);

        // A file that is whole is what is given: these pixels nobody rendered.
        let split = &plans[0].train;
        let mut images = split.render().images;
        images.pixels = vec![7; images.len() * IMAGE_BYTES].into();
        let digest = split.digest();
        let path = kept.iter().find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&format!("{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]))
        });
        write(path.unwrap(), &header(split, &digest), &images).unwrap();
        assert_eq!(split.images(Some(folder.path())), images);
    }

    #[test]
    fn everything_that_images_follow_from_names_their_file() {
        let development = TestSize { set: TestSet::Development, ..SIZE };
        let more = TestSize { images: 2 * SIZE.images, ..SIZE };
        let (one, other) = (TaskPlan::bias(0.85, 1, SIZE), TaskPlan::bias(0.85, 2, SIZE));
        assert_ne!(one.train.digest(), other.train.digest());
        // Test images do not follow the seed, and those before other backgrounds not even the strength.
        assert_eq!(one.tests[0].split.digest(), other.tests[0].split.digest());
        let stronger = TaskPlan::bias(f64::from_bits(0.85f64.to_bits() + 1), 1, SIZE);
        assert_ne!(one.train.digest(), stronger.train.digest());
        assert_ne!(one.tests[0].split.digest(), stronger.tests[0].split.digest());
        assert_eq!(one.tests[1].split.digest(), stronger.tests[1].split.digest());
        for changed in [development, more] {
            let changed = TaskPlan::bias(0.85, 1, changed);
            assert_eq!(one.train.digest(), changed.train.digest());
            for (split, changed) in one.tests.iter().zip(&changed.tests) {
                assert_ne!(split.split.digest(), changed.split.digest());
            }
        }
        let (few, tail) = (TaskPlan::few_shot(5, 1, SIZE), TaskPlan::long_tailed(5, 1.1, 1, SIZE));
        assert_ne!(few.train.digest(), tail.train.digest());
        let base_to_novel = TaskPlan::base_to_novel(1, SIZE);
        assert_ne!(base_to_novel.tests[0].split.digest(), base_to_novel.tests[1].split.digest());
    }

    #[test]
    fn a_damaged_file_is_rendered_anew() {
        let folder = tempfile::tempdir().unwrap();
        let split = TaskPlan::few_shot(1, 3, SIZE).train;
        let rendered = split.images(Some(folder.path()));
        let path = files(folder.path()).remove(0);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), HEADER_BYTES + CHECKSUM_BYTES + split.len() * IMAGE_BYTES);
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let middle = whole.len() / 2;
        let places = (0..HEADER_BYTES + CHECKSUM_BYTES).chain([middle, whole.len() - 1]);
        let lengths = [vec![], whole[..40].to_vec(), whole[..middle].to_vec(), [&whole[..], &[0]].concat()];
        for damaged in places.map(flipped).chain(lengths) {
            fs::write(&path, damaged).unwrap();
            assert_eq!(split.images(Some(folder.path())), rendered);
            assert_eq!(fs::read(&path).unwrap(), whole, "the file is mended");
        }
        assert_eq!(files(folder.path()).len(), 1);
    }

    #[test]
    fn where_nothing_can_be_kept_images_are_rendered() {
        let folder = tempfile::tempdir().unwrap();
        let split = TaskPlan::few_shot(1, 3, SIZE).train;
        let rendered = split.render().images;
        let missing = folder.path().join("missing");
        assert_eq!(split.images(Some(&missing)), rendered);
        assert!(!missing.exists());
        // A folder in the place of the file can be neither read nor replaced.
        split.images(Some(folder.path()));
        let path = files(folder.path()).remove(0);
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.join("full")).unwrap();
        assert_eq!(split.images(Some(folder.path())), rendered);
        assert_eq!(files(folder.path()).len(), 1, "no partial file stays");
    }
}
