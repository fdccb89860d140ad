//! What a file is, by its first bytes. Names are not trusted: `.pth.tar` is no tar, `.bin` and `.pt` may be anything.

use crate::error::CheckpointError;
use std::path::Path;

/// How a checkpoint holds its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6: a zip archive with a pickle.
    TorchZip,
    /// What `torch.save` wrote before: pickles followed by the values.
    TorchLegacy,
    /// What `torch.jit.save` writes: a zip archive with a pickle and code. The code is never read.
    TorchScript,
    /// A JSON index and the safetensors files that it names.
    ShardedSafetensors,
    /// A JSON index and the `torch.save` files that it names.
    ShardedTorch,
}

impl Container {
    /// Name for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "torch.save",
            Self::TorchLegacy => "old torch.save",
            Self::TorchScript => "TorchScript",
            Self::ShardedSafetensors | Self::ShardedTorch => "checkpoint index",
        }
    }
}

/// What the first bytes of a file promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// A file that holds tensors.
    Single(Format),
    /// JSON: a file that may name such files.
    Index,
}

/// The formats that hold tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Safetensors,
    /// `torch.save` or TorchScript.
    Zip,
    Legacy,
}

/// Longest header that the safetensors format allows, in bytes.
const MAX_SAFETENSORS_HEADER: u64 = 100_000_000;

/// First bytes of formats that people mistake for checkpoints.
const OTHER_FORMATS: [(&[u8], &str, &str); 13] = [
    (b"\x1f\x8b", "a gzip file", "unpack it first (gunzip)"),
    (b"BZh", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras, TensorFlow)", "convert it to safetensors"),
    (b"\x93NUMPY", "a NumPy array", "convert it to safetensors"),
    (b"GGUF", "a GGUF file", "convert it to safetensors"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (b"<!doctype", "an HTML page", AGAIN),
    (b"<html", "an HTML page", AGAIN),
    (b"<?xml", "an XML message", AGAIN),
];

const AGAIN: &str = "the download failed or asked for a login; download the file again";

/// Where the magic word of a tar archive lies.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// The family of the file `bytes` at `path`, or an error that says what it is instead.
pub(crate) fn recognise(bytes: &[u8], path: &Path) -> Result<Family, CheckpointError> {
    let not_a_checkpoint = |found: &str, advice| {
        Err(CheckpointError::NotACheckpoint { path: path.into(), found: found.into(), advice })
    };
    if bytes.is_empty() {
        return not_a_checkpoint("an empty file", "download or save it again");
    }
    if let Some((length, header)) = bytes.split_first_chunk()
        && u64::from_le_bytes(*length) <= MAX_SAFETENSORS_HEADER
        && header.first() == Some(&b'{')
    {
        return Ok(Family::Single(Format::Safetensors));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Family::Single(Format::Zip));
    }
    if crate::torch::legacy::has_magic(bytes) {
        return Ok(Family::Single(Format::Legacy));
    }
    let text = bytes.trim_ascii_start();
    let found = OTHER_FORMATS
        .iter()
        .find(|(magic, ..)| text.get(..magic.len()).is_some_and(|start| start.eq_ignore_ascii_case(magic)));
    if let Some((_, found, advice)) = found {
        return not_a_checkpoint(found, advice);
    }
    if bytes.get(TAR_MAGIC) == Some(b"ustar") || bytes.starts_with(b"sys_info\0") {
        return not_a_checkpoint(
            "a tar archive",
            "unpack it; if torch.save of PyTorch 0.1 wrote it, load and save it again with a newer PyTorch",
        );
    }
    if text.starts_with(b"{") {
        return Ok(Family::Index);
    }
    if bytes.starts_with(b"\x80") {
        return not_a_checkpoint(
            "a Python pickle that torch.save did not write",
            "load it in Python and save its tensors with torch.save or safetensors",
        );
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return not_a_checkpoint("a file of zeros", "the copy or download was cut off; fetch it again");
    }
    if let Some(text) = short_text(bytes) {
        return not_a_checkpoint(&format!("the text {text:?}"), AGAIN);
    }
    not_a_checkpoint(
        "a file of an unknown format",
        "expected safetensors, torch.save, TorchScript or the index of a sharded checkpoint",
    )
}

/// The first line of a small text file, such as the message of a server.
fn short_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 4096)?;
    let printable = text.chars().all(|character| !character.is_control() || character.is_whitespace());
    printable.then(|| text.trim().lines().next().unwrap_or_default().chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        recognise(bytes, Path::new("model.bin")).unwrap_err().to_string()
    }

    #[test]
    fn strangers_are_called_by_their_name() {
        for (bytes, found) in [
            (&b""[..], "an empty file"),
            (b"\n <!DOCTYPE HTML><html>", "an HTML page"),
            (b"<HTML><body>", "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n", "git lfs pull"),
            (b"\x1f\x8b\x08\0", "gunzip"),
            (b"\x89HDF\r\n", "HDF5"),
            (b"\x80\x04]\x94.", "pickle that torch.save did not write"),
            (b"Entry not found", "\"Entry not found\""),
            (&[0; 64], "a file of zeros"),
            (&[7; 64], "unknown format"),
        ] {
            let message = message(bytes);
            assert!(message.contains(found) && message.starts_with("model.bin: this is"), "{message}");
        }
        let mut tar = [0; 512];
        tar[..8].copy_from_slice(b"sys_info");
        assert!(message(&tar).contains("tar archive"));
        tar[TAR_MAGIC].copy_from_slice(b"ustar");
        tar[..8].copy_from_slice(b"whatever");
        assert!(message(&tar).contains("tar archive"));
    }

    #[test]
    fn json_is_not_taken_for_safetensors() {
        let path = Path::new("index");
        assert_eq!(recognise(b"{\"weight_map\": {}}", path).unwrap(), Family::Index);
        assert_eq!(recognise(b"{\0\0\0\0\0\0\0{}", path).unwrap(), Family::Single(Format::Safetensors));
    }
}
