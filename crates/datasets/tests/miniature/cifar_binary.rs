//! The binary archives of CIFAR, byte by byte.

use super::Disk;

/// Planes of image `number`: red `number`, green 100, blue rising along the rows.
pub fn planes(number: usize) -> Vec<u8> {
    let mut planes = vec![number as u8; 1024];
    planes.extend([100; 1024]);
    planes.extend((0..1024).map(|at| (at % 32) as u8));
    planes
}

/// Ten images per archive; label and content depend on the archive.
pub fn labels(archive: usize, classes: usize) -> Vec<usize> {
    (0..10).map(|number| (number + archive) % classes).collect()
}

pub fn ten_archives() -> [(&'static str, usize); 6] {
    [
        ("data_batch_1", 0),
        ("data_batch_2", 1),
        ("data_batch_3", 2),
        ("data_batch_4", 3),
        ("data_batch_5", 4),
        ("test_batch", 5),
    ]
}

pub fn ten_binary(disk: &Disk, folder: &str) {
    for (name, archive) in ten_archives() {
        let mut bytes = Vec::new();
        for (number, label) in labels(archive, 10).into_iter().enumerate() {
            bytes.push(label as u8);
            bytes.extend(planes(10 * archive + number));
        }
        disk.write(format!("{folder}/cifar-10-batches-bin/{name}.bin"), bytes);
    }
}

pub fn hundred_binary(disk: &Disk, folder: &str) {
    for (name, archive) in [("train", 0), ("test", 5)] {
        let mut bytes = Vec::new();
        for (number, label) in labels(archive, 100).into_iter().enumerate() {
            bytes.extend([19, label as u8]);
            bytes.extend(planes(10 * archive + number));
        }
        disk.write(format!("{folder}/cifar-100-binary/{name}.bin"), bytes);
    }
}
