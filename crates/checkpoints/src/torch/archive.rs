//! The zip archives of `torch.save` and `torch.jit.save`.
//!
//! torch stores its entries without compression, so a tensor is a range of the file. Compressed entries are
//! refused wherever they would be read, which also disarms zip bombs. The code of TorchScript is never read.

use super::flatten::flatten;
use super::storage::Storages;
use super::zip::Directory;
use crate::checkpoint::Contents;
use crate::container::Container;
use crate::error::Fault;
use crate::pickle::load;

/// Which of the two kinds of archive the file `bytes` is, and its tensors or what is wrong.
pub(crate) fn read(bytes: &[u8]) -> (Container, Result<Contents, Fault>) {
    let opened = Directory::read(bytes).and_then(|directory| Ok((root(&directory)?, directory)));
    let (root, directory) = match opened {
        Ok(opened) => opened,
        Err(fault) => return (Container::TorchZip, Err(fault)),
    };
    let constants = format!("{root}/constants.pkl");
    let script = directory.names().any(|name| name == constants);
    let container = if script { Container::TorchScript } else { Container::TorchZip };
    (container, contents(&directory, bytes, root))
}

/// Name of the folder that holds everything.
fn root<'a>(directory: &Directory<'a>) -> Result<&'a str, Fault> {
    let mut roots = directory
        .names()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|root| !root.contains('/'));
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (Some(first), Some(second)) => {
            Err(format!("it holds two checkpoints, {first:?} and {second:?}").into())
        }
        (None, _) if directory.names().any(|name| name.ends_with("/model.json")) => Err(Fault::Unsupported(
            "PyTorch 1.0 to 1.3 wrote it; load and save it again with a newer PyTorch".into(),
        )),
        (None, _) => Err(Fault::Unsupported(
            "it is a zip archive without `data.pkl`; if a checkpoint is packed in it, unpack it first".into(),
        )),
    }
}

fn contents(directory: &Directory<'_>, bytes: &[u8], root: &str) -> Result<Contents, Fault> {
    if let Some(range) = directory.find(&format!("{root}/byteorder"))?
        && bytes.get(range) == Some(b"big")
    {
        let reason = "a big-endian machine wrote it; load and save it again on another machine";
        return Err(Fault::Unsupported(reason.into()));
    }
    let mut storages = Storages::new();
    for name in directory.names() {
        if let Some(key) = name.strip_prefix(root).and_then(|name| name.strip_prefix("/data/"))
            && let Some(range) = directory.find(name)?
        {
            storages.insert(key.into(), range);
        }
    }
    let range = directory.find(&format!("{root}/data.pkl"))?.ok_or("`data.pkl` is missing")?;
    let pickle = load(bytes.get(range).unwrap_or_default())?;
    flatten(&pickle, &storages, bytes.len())
}
