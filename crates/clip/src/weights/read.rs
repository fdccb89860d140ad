//! Strict reading: every tensor of the file is used, every parameter is found, all shapes agree,
//! or nothing is loaded.

use super::join::joined;
use super::room::Room;
use super::{Layout, Piece, TensorFault, WeightsError, transpose};
use crate::cpu::is_cpu;
use crate::parameters::{Value, filled, shapes};
use burn::module::Module;
use burn::tensor::{AllocationProperty, Bytes, DType, Device, Tensor, TensorData};
use rayon::prelude::*;
use regulus_checkpoints::{Checkpoint, SharedBytes};
use std::collections::BTreeMap;

/// Parameters that are converted at a time, on all threads: most of the time goes into getting memory for them. Until a
/// device has copied them, all of them are in this machine's memory.
const AHEAD: usize = 16;

/// Gives `module` the parameters in `checkpoint`.
pub(crate) fn read<M: Module>(
    module: M,
    layout: &dyn Layout,
    checkpoint: &Checkpoint,
    device: &Device,
) -> Result<M, WeightsError> {
    let faults = faults(&module, layout, checkpoint);
    if !faults.is_empty() {
        return Err(WeightsError::Mismatch { path: checkpoint.path().into(), faults });
    }
    let parameters = shapes(&module, "");
    let mut in_order = parameters.chunks(AHEAD).flat_map(|some| {
        let read = some.par_iter().map(|(path, shape)| {
            let pieces = layout.pieces(path, shape);
            (path, values(&pieces, shape, checkpoint, device))
        });
        read.collect::<Vec<_>>()
    });
    let filled = filled(module, &mut |path, _| {
        let (of, values) = in_order.next()?;
        assert_eq!(path, of, "a module is walked in one order");
        Some(match values? {
            Values::Present(data) => Value::Ready(Tensor::from_data(data, device)),
            Values::Apart(parts) => {
                Value::Later(Box::new(move |device| Tensor::from_data(joined(&parts), device)))
            }
        })
    });
    // A device with memory of its own copies the file when it comes to it, and who called may change the file after that.
    // A copy that failed is told by the first computation with it.
    let _ = device.sync();
    Ok(filled)
}

/// Everything that does not fit, sorted by key.
fn faults<M: Module>(module: &M, layout: &dyn Layout, checkpoint: &Checkpoint) -> Vec<TensorFault> {
    let pieces = shapes(module, "").into_iter().flat_map(|(path, shape)| layout.pieces(&path, &shape));
    let expected: BTreeMap<String, Vec<usize>> = pieces.map(|piece| (piece.key, piece.shape)).collect();
    let wanted = expected.iter().filter_map(|(key, expected)| {
        let (key, expected) = (key.clone(), expected.clone());
        let Some(tensor) = checkpoint.tensor(&key) else {
            return Some(TensorFault::Missing { key, expected });
        };
        if tensor.shape() != expected {
            return Some(TensorFault::Misshapen { key, found: tensor.shape().to_vec(), expected });
        }
        let found = tensor.dtype();
        (!found.is_float()).then(|| TensorFault::Type { key, found: found.to_string() })
    });
    let found =
        checkpoint.tensors().filter(|(key, _)| !expected.contains_key(*key) && !layout.is_harmless(key));
    let unused = found
        .map(|(key, tensor)| TensorFault::Unused { key: key.to_string(), found: tensor.shape().to_vec() });
    let mut faults: Vec<TensorFault> = wanted.chain(unused).collect();
    faults.sort_by(|a, b| a.key().cmp(b.key()));
    faults
}

/// The values of a parameter, flattened.
enum Values {
    /// In memory, or where they lie in the file.
    Present(TensorData),
    /// In the file, but one piece here and the next there. They are joined when they are used.
    Apart(Vec<SharedBytes>),
}

/// The values of a parameter. `None` if a tensor is not floating-point.
fn values(pieces: &[Piece], shape: &[usize], checkpoint: &Checkpoint, device: &Device) -> Option<Values> {
    let count = shape.iter().product();
    let parts = shared(pieces, checkpoint);
    let bytes = match parts.as_deref() {
        Some([whole]) => {
            Bytes::from_shared(bytes::Bytes::from_owner(whole.clone()), AllocationProperty::File)
        }
        Some(_) if is_cpu(device) => return parts.map(Values::Apart),
        _ => converted(pieces, count, checkpoint)?,
    };
    Some(Values::Present(TensorData::from_bytes(bytes, [count], DType::F32)))
}

/// The pieces of a parameter where they lie in the file, if the file holds them as memory does. They are only read: who
/// changes them gets a copy of its own.
fn shared(pieces: &[Piece], checkpoint: &Checkpoint) -> Option<Vec<SharedBytes>> {
    let piece = |piece: &Piece| checkpoint.tensor(&piece.key).filter(|_| !piece.transposed)?.shared_f32();
    pieces.iter().map(piece).collect()
}

/// The `count` values of a parameter, one piece after the other. `None` if a tensor is not floating-point.
fn converted(pieces: &[Piece], count: usize, checkpoint: &Checkpoint) -> Option<Bytes> {
    let mut room = Room::new(count);
    let mut rest = room.values();
    for piece in pieces {
        let tensor = checkpoint.tensor(&piece.key)?;
        let (places, after) = rest.split_at_mut_checked(tensor.numel())?;
        match (piece.transposed, piece.shape.as_slice()) {
            (true, &[rows, columns]) => {
                places.copy_from_slice(&transpose(&tensor.to_f32()?, rows, columns));
            }
            _ if tensor.write_f32(places) => {}
            _ => return None,
        }
        rest = after;
    }
    Some(room.into_bytes())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::Part;
    use crate::formats::LoadedClip;
    use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};
    use std::path::Path;

    #[derive(Default)]
    struct Waiting(Vec<Vec<usize>>);

    impl ModuleVisitor for Waiting {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !param.is_initialized() {
                self.0.push(param.lazy_shape().to_vec());
            }
        }
    }

    struct Training;

    impl ModuleMapper for Training {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.set_require_grad(true)
        }
    }

    #[test]
    fn what_waits_can_be_trained() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_vit");
        let clip = LoadedClip::load(&folder, &Device::flex().autodiff()).unwrap().clip.map(&mut Training);
        let parameters = clip.parameters(Part::All);
        let untracked = parameters.iter().filter(|parameter| !parameter.value.is_tracked());
        assert_eq!(untracked.map(|parameter| &parameter.path).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn only_what_lies_apart_waits_for_its_use() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_vit");
        let LoadedClip { clip, config, .. } = LoadedClip::load(&folder, &Device::flex()).unwrap();
        let waiting = || {
            let mut waiting = Waiting::default();
            clip.visit(&mut waiting);
            waiting.0
        };
        let found = waiting();
        assert!(found.len() > 2 && found.len().is_multiple_of(2), "weights and biases: {found:?}");
        assert!(found.iter().all(|shape| shape[0] % 3 == 0), "queries, keys and values: {found:?}");
        let of_texts = |shape: &&Vec<usize>| shape[0] == 3 * config.text.width;
        assert_eq!(found.iter().filter(of_texts).count(), 2 * config.text.layers);
        clip.encode_text(&[vec![config.text.sot_id, config.text.eot_id]], &crate::Injection::none());
        assert_eq!(waiting().iter().filter(of_texts).count(), 0, "a tower that is used is joined");
        assert!(!waiting().is_empty(), "the other one waits");
    }
}
