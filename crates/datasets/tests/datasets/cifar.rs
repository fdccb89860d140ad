//! CIFAR in both archive forms, written byte by byte as the publishers' archives are.

use regulus_datasets::Source;
use regulus_datasets::listing::{DatasetListing, ListedImages};
use regulus_datasets::published;

use super::miniature::Disk;
use super::miniature::cifar_binary::{labels, planes, ten_archives, ten_binary};

/// The pickle that Python 2 wrote: protocol 2, short strings, and an array as a call with a state.
fn pickle(key: &str, labels: &[usize], pixels: &[u8]) -> Vec<u8> {
    let text = |text: &str| [b"U", &[text.len() as u8][..], text.as_bytes()].concat();
    let int = |number: usize| match number {
        0..256 => vec![b'K', number as u8],
        _ => [b"M", &(number as u16).to_le_bytes()[..]].concat(),
    };
    let mut bytes = b"\x80\x02}q\x01(".to_vec();
    bytes.extend(
        [text("batch_label"), b"q\x02".to_vec(), text("training batch 1 of 5"), b"q\x03".to_vec()].concat(),
    );
    bytes.extend([text(key), b"q\x04]q\x05(".to_vec()].concat());
    labels.iter().for_each(|&label| bytes.extend(int(label)));
    bytes.extend([b"e".to_vec(), text("data"), b"q\x06".to_vec()].concat());
    bytes.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85");
    bytes.extend(
        [text("b"), b"\x87Rq\x09(K\x01".to_vec(), int(labels.len()), int(3072), b"\x86".to_vec()].concat(),
    );
    bytes.extend(b"cnumpy\ndtype\nq\x0a");
    bytes.extend(
        [
            text("u1"),
            b"K\x00K\x01\x87Rq\x0b(K\x03".to_vec(),
            text("|"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89".to_vec(),
        ]
        .concat(),
    );
    bytes.extend([b"T", &(pixels.len() as u32).to_le_bytes()[..], pixels, b"tb"].concat());
    bytes.extend(
        [text("filenames"), b"q\x0c]q\x0d(".to_vec(), text("a.png"), b"q\x0eh\x0eeu.".to_vec()].concat(),
    );
    bytes
}

fn archive(key: &str, number: usize, classes: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..10).flat_map(|image| planes(10 * number + image)).collect();
    pickle(key, &labels(number, classes), &pixels)
}

/// The Python archive of CIFAR-100 with this many images.
pub fn hundred_python(images: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..images).flat_map(planes).collect();
    pickle("fine_labels", &labels(0, 100)[..images], &pixels)
}

fn ten_python(disk: &Disk, folder: &str) {
    for (name, number) in ten_archives() {
        disk.write(format!("{folder}/cifar-10-batches-py/{name}"), archive("labels", number, 10));
    }
}

/// Label, and the pixels at the left and right end of a row, of every image.
fn content(listing: &DatasetListing, split: &str) -> Vec<(usize, Vec<u8>)> {
    let listed = ListedImages { root: listing.root.clone(), images: listing.split(split).unwrap().clone() };
    let ends = |index: usize| {
        let image = listed.original(index).unwrap();
        assert_eq!((image.width, image.height), (32, 32));
        [&image.pixels[..3], &image.pixels[31 * 3..32 * 3]].concat()
    };
    (0..listed.images.len()).map(|index| (listed.images.get(index).unwrap().label, ends(index))).collect()
}

#[test]
fn both_archive_forms_hold_the_same_images() {
    let (binary, python) = (Disk::new(), Disk::new());
    ten_binary(&binary, "cifar10");
    ten_python(&python, "cifar10");
    let [binary, python] = [&binary, &python].map(|disk| published::read("cifar10", disk.root()).unwrap());
    for split in ["train", "test"] {
        assert_eq!(content(&binary, split), content(&python, split));
    }
    let train = content(&python, "train");
    assert_eq!(train.len(), 50);
    assert_eq!(train[37], (0, vec![37, 100, 0, 37, 100, 31]));
    assert_eq!(python.classes.names[9], "truck");
}

#[test]
fn cifar_100_has_its_fine_labels() {
    let (binary, python) = (Disk::with("cifar100"), Disk::new());
    for (name, number) in [("train", 0), ("test", 5)] {
        python.write(format!("cifar-100-python/{name}"), archive("fine_labels", number, 100));
    }
    let binary = published::read("cifar100", binary.root()).unwrap();
    let python = published::read("cifar100", python.root()).unwrap();
    assert_eq!(content(&binary, "test"), content(&python, "test"));
    assert_eq!(binary.split("test").unwrap().labels(), [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn damaged_archives_are_refused() {
    let disk = Disk::with("cifar10");
    disk.write("cifar10/cifar-10-batches-bin/data_batch_3.bin", [0; 3072]);
    let error = published::read("cifar10", disk.root()).unwrap_err().to_string();
    assert!(error.contains("data_batch_3.bin") && error.contains("no whole number of images"), "{error}");
    let mut record = vec![10];
    record.extend([0; 3072]);
    disk.write("cifar10/cifar-10-batches-bin/data_batch_3.bin", record);
    let error = published::read("cifar10", disk.root()).unwrap_err().to_string();
    assert!(error.contains("data_batch_3.bin, image 0: the label 10 is not below 10"), "{error}");

    let disk = Disk::new();
    ten_python(&disk, "cifar10");
    let whole = archive("labels", 1, 10);
    let wrong_kind = {
        let at = whole.windows(3).position(|window| window == b"\x02u1").unwrap();
        [&whole[..at], b"\x02u2", &whole[at + 3..]].concat()
    };
    for (damaged, expected) in [
        (whole[..whole.len() - 9].to_vec(), "the pickle is cut short"),
        (b"hello".to_vec(), "h"),
        (wrong_kind, "`data` is no array of 10 images"),
        (pickle("other", &[1], &planes(0)), "no list `labels`"),
        (pickle("labels", &[1, 2], &planes(0)), "`data` is no array of 2 images"),
    ] {
        disk.write("cifar10/cifar-10-batches-py/data_batch_2", damaged);
        let error = published::read("cifar10", disk.root()).unwrap_err().to_string();
        assert!(error.contains("data_batch_2") && error.contains(expected), "{expected}: {error}");
    }
}
