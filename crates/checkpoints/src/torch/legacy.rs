//! The files of `torch.save` before PyTorch 1.6: five pickles (a magic number, a version, the machine, the
//! object, the keys of its storages), then the storages themselves.

use super::flatten::flatten;
use super::storage::{StorageId, Storages, storage_dtype};
use crate::checkpoint::Contents;
use crate::error::Fault;
use crate::pickle::machine::Pickle;
use crate::pickle::{Node, Value, load};
use std::collections::BTreeMap;

/// The magic number 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same as protocols 0 and 1 write it.
const MAGIC_LINE: &[u8] = b"L119547037146038801333356L\n.";
const VERSION: i64 = 1001;

/// Whether the file `bytes` begins with the magic number.
pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    // The first pickle has at most a dozen bytes more than the number.
    let start = bytes.get(..MAGIC_LINE.len()).unwrap_or(bytes);
    start == MAGIC_LINE
        || (start.starts_with(b"\x80") && start.windows(MAGIC.len()).any(|window| window == MAGIC))
}

/// The tensors of the file `bytes`, or what is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<Contents, Fault> {
    let mut rest = bytes;
    let _magic = next(&mut rest)?;
    let version = next(&mut rest)?;
    if version.root != Value::Int(VERSION) {
        let reason = "it has another version than 1001; load and save it again with a newer PyTorch";
        return Err(Fault::Unsupported(reason.into()));
    }
    let machine = next(&mut rest)?;
    if machine.heap.get(machine.root, "little_endian") != Some(Value::Bool(true)) {
        let reason = "a big-endian machine wrote it; load and save it again on another machine";
        return Err(Fault::Unsupported(reason.into()));
    }
    let object = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let storages = storages(&object, &keys, bytes, bytes.len() - rest.len())?;
    flatten(&object, &storages, bytes.len())
}

/// Reads the next pickle.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, String> {
    let pickle = load(rest)?;
    *rest = rest.get(pickle.length..).unwrap_or_default();
    Ok(pickle)
}

/// Where the storages lie: in the order of `keys`, from byte `start` on, each after its number of elements.
fn storages(object: &Pickle<'_>, keys: &Pickle<'_>, bytes: &[u8], start: usize) -> Result<Storages, Fault> {
    let mut classes = BTreeMap::new();
    for node in object.heap.nodes() {
        if let Node::Persistent(id) = node
            && let Some(id) = StorageId::parse(&object.heap, *id)
        {
            let class = *classes.entry(id.key).or_insert(id.class);
            if class != id.class {
                return Err(format!("the storage {:?} is called {class} and {}", id.key, id.class).into());
            }
        }
    }
    let mut storages = Storages::new();
    let mut position = start;
    for &key in keys.heap.sequence(keys.root).ok_or("the list of its storages is missing")? {
        let key = keys.heap.identifier(key).ok_or("the key of a storage is no short text")?;
        let class = classes.get(key).ok_or_else(|| format!("no tensor belongs to the storage {key:?}"))?;
        let dtype = storage_dtype(class).ok_or_else(|| {
            Fault::Unsupported(format!("a tensor has the number format {class}; convert it first"))
        })?;
        let end = bytes
            .get(position..)
            .and_then(<[u8]>::split_first_chunk)
            .and_then(|(numel, _)| usize::try_from(i64::from_le_bytes(*numel)).ok())
            .and_then(|numel| numel.checked_mul(dtype.size())?.checked_add(position)?.checked_add(8))
            .filter(|&end| end <= bytes.len())
            .ok_or_else(|| format!("the storage {key:?} is cut off"))?;
        if storages.insert(key.to_owned(), position + 8..end).is_some() {
            return Err(format!("the storage {key:?} is there twice").into());
        }
        position = end;
    }
    Ok(storages)
}
