//! Dotted names for the tensors of a nested structure: dict keys, list positions and attributes, from the root.
//!
//! The structure is a graph in which honest files share a little, and hostile ones anything. The walk keeps its
//! own stack, never enters a node that it is inside of, and has a budget of steps and of text.

use super::rebuild::tensor_call;
use super::storage::Storages;
use crate::checkpoint::{Contents, Scalar};
use crate::error::Fault;
use crate::pickle::machine::Pickle;
use crate::pickle::{Heap, Node, Object, Value};
use std::fmt::Write;

/// Functions and classes that return (or look like) their first argument.
const TRANSPARENT: [(&str, &[&str]); 7] = [
    ("torch._utils", &["_rebuild_parameter", "_rebuild_parameter_with_state"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch", &["Size"]),
    (
        "torch.jit._pickle",
        &["build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"],
    ),
    ("collections", &["OrderedDict", "Counter", "deque"]),
    ("builtins", BUILTINS),
    ("__builtin__", BUILTINS),
];
const BUILTINS: &[&str] = &["dict", "list", "tuple", "set", "frozenset"];

/// Attributes of a pickled `torch.nn.Module` that do not show in the names of its tensors.
const MODULE_DICTS: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Steps and bytes of names that are allowed for each byte of the pickle, beyond [`ALLOWANCE`].
const BUDGET_PER_BYTE: usize = 32;
const ALLOWANCE: usize = 1 << 20;
/// What a tensor or scalar costs besides its name, about the memory that it takes.
const ENTRY_COST: usize = 128;

/// All tensors together, written out, may take this many times the size of the file, beyond [`ALLOWANCE`].
/// Weights that are tied count twice; what goes far beyond are views that expand one number to very many.
const MAX_EXPANSION: usize = 4;

/// Gives every tensor and scalar of `pickle` its name. `file_size` is in bytes.
pub(super) fn flatten(pickle: &Pickle<'_>, storages: &Storages, file_size: usize) -> Result<Contents, Fault> {
    let budget = pickle.length.saturating_mul(BUDGET_PER_BYTE).saturating_add(ALLOWANCE);
    let mut walk = Walk {
        heap: &pickle.heap,
        storages,
        contents: Contents::default(),
        name: String::new(),
        inside: vec![false; pickle.heap.nodes().len()],
        steps_left: budget,
        names_left: budget,
        scalars_left: budget,
        bytes_left: file_size.saturating_mul(MAX_EXPANSION).saturating_add(ALLOWANCE),
    };
    walk.run(pickle.root)?;
    Ok(walk.contents)
}

struct Walk<'h, 'a> {
    heap: &'h Heap<'a>,
    storages: &'h Storages,
    contents: Contents,
    /// Name of the value at hand.
    name: String,
    /// Nodes on the way from the root to the value at hand.
    inside: Vec<bool>,
    steps_left: usize,
    names_left: usize,
    scalars_left: usize,
    bytes_left: usize,
}

/// A node that is being visited.
struct Visit {
    node: u32,
    next_child: usize,
    /// Length of the name of this node.
    name_length: usize,
    /// Whether this is the attribute dict of an object.
    attributes: bool,
}

/// How a child is called.
enum Segment<'a> {
    /// As its parent. The flag says that it holds the attributes of an object.
    Same {
        attributes: bool,
    },
    Text(&'a str),
    Number(i64),
    /// The position of an entry whose key is neither text nor integer.
    Entry(usize),
}

impl<'h, 'a> Walk<'h, 'a> {
    fn run(&mut self, root: Value) -> Result<(), Fault> {
        let mut visits: Vec<Visit> = Vec::new();
        visits.extend(self.arrive(root, false)?);
        while let Some(visit) = visits.last_mut() {
            self.name.truncate(visit.name_length);
            let Some((segment, value)) = self.child(visit) else {
                self.mark(visit.node, false);
                visits.pop();
                continue;
            };
            visit.next_child += 1;
            self.step(if let Segment::Text(key) = segment { key.len() } else { 0 })?;
            let attributes = matches!(segment, Segment::Same { attributes: true });
            self.extend_name(&segment);
            visits.extend(self.arrive(value, attributes)?);
        }
        Ok(())
    }

    /// Counts one step, in which `text` bytes are looked at.
    fn step(&mut self, text: usize) -> Result<(), Fault> {
        let left = self.steps_left.checked_sub(1).and_then(|left| left.checked_sub(text));
        self.steps_left = left.ok_or("its values are shared beyond measure")?;
        Ok(())
    }

    /// Records a tensor or scalar; a container is to be visited.
    fn arrive(&mut self, value: Value, attributes: bool) -> Result<Option<Visit>, Fault> {
        let heap = self.heap;
        let scalar = match value {
            Value::Node(node) => {
                if self.inside.get(node as usize) != Some(&false) {
                    return Ok(None);
                }
                if let Some(Node::Object(object)) = heap.node(value)
                    && let Some(call) = tensor_call(heap, object)
                {
                    let entry = call.entry(heap, self.storages, &self.name)?;
                    self.add_tensor(entry)?;
                    return Ok(None);
                }
                self.mark(node, true);
                return Ok(Some(Visit { node, next_child: 0, name_length: self.name.len(), attributes }));
            }
            Value::Bool(value) => Scalar::Bool(value),
            Value::Int(value) => Scalar::Int(value),
            Value::Float(value) => Scalar::Float(value),
            Value::Text(span) => {
                self.step(span.length as usize)?;
                let text = heap.text(value).unwrap_or_default();
                let Some(left) = self.scalars_left.checked_sub(text.len()) else { return Ok(None) };
                self.scalars_left = left;
                Scalar::Text(text.into())
            }
            Value::None | Value::Bytes | Value::Global(_) => return Ok(None),
        };
        if let Some(left) = self.scalars_left.checked_sub(self.name.len() + ENTRY_COST) {
            self.scalars_left = left;
            self.contents.scalars.insert(self.name.clone(), scalar);
        }
        Ok(None)
    }

    fn add_tensor(&mut self, entry: crate::checkpoint::Entry) -> Result<(), Fault> {
        let name = &self.name;
        let cost = name.len() + ENTRY_COST + entry.layout.shape().len() * size_of::<[usize; 2]>();
        self.names_left = self
            .names_left
            .checked_sub(cost)
            .ok_or("its tensors have more names than a file of this size can have")?;
        self.bytes_left = entry
            .layout
            .numel()
            .checked_mul(entry.dtype.size())
            .and_then(|bytes| self.bytes_left.checked_sub(bytes))
            .ok_or_else(|| {
                format!(
                    "tensor {name:?} of shape {:?} makes the tensors together more than {MAX_EXPANSION} times as \
                     large as the file",
                    entry.layout.shape()
                )
            })?;
        if self.contents.tensors.insert(name.clone(), entry).is_some() {
            return Err(format!("two tensors are called {name:?}").into());
        }
        Ok(())
    }

    fn mark(&mut self, node: u32, inside: bool) {
        if let Some(mark) = self.inside.get_mut(node as usize) {
            *mark = inside;
        }
    }

    fn extend_name(&mut self, segment: &Segment<'_>) {
        if matches!(segment, Segment::Same { .. }) {
            return;
        }
        if !self.name.is_empty() {
            self.name.push('.');
        }
        // Writing to a `String` cannot fail.
        let _ = match segment {
            Segment::Same { .. } => Ok(()),
            Segment::Text(text) => self.name.write_str(text),
            Segment::Number(number) => write!(self.name, "{number}"),
            Segment::Entry(position) => write!(self.name, "#{position}"),
        };
    }

    /// The next child of a node.
    fn child(&self, visit: &Visit) -> Option<(Segment<'a>, Value)> {
        let position = visit.next_child;
        match self.heap.node(Value::Node(visit.node))? {
            Node::Tuple(items) | Node::List(items) => item(items, position),
            Node::Dict(pairs) => {
                let (segment, value) = self.pair(pairs, position)?;
                Some(match segment {
                    Segment::Text(key) if visit.attributes && MODULE_DICTS.contains(&key) => {
                        (Segment::Same { attributes: false }, value)
                    }
                    segment => (segment, value),
                })
            }
            Node::Object(object) => match self.listed_pairs(object) {
                Some(list) if position < list.len() => {
                    let pair = self.heap.sequence(*list.get(position)?).and_then(|pair| pair.first_chunk());
                    Some(pair.map_or((Segment::Entry(position), Value::None), |&[key, value]| {
                        (self.segment(key, position), value)
                    }))
                }
                Some(list) => self.pair(&object.pairs, position - list.len()),
                None => self.child_of_object(object, position),
            },
            Node::Persistent(_) => None,
        }
    }

    /// The state of an object comes first (for a transparent one, its argument), then its items and pairs.
    fn child_of_object(&self, object: &Object, position: usize) -> Option<(Segment<'a>, Value)> {
        let content = if self.is_transparent(object) {
            [self.heap.sequence(object.arguments).and_then(|arguments| arguments.first().copied()), None]
        } else {
            match self.heap.node(object.state) {
                Some(Node::Dict(_)) => [Some(object.state), None],
                // Attributes in a dict and attributes in slots.
                Some(Node::Tuple(states)) if states.len() == 2 => {
                    [states.first().copied(), states.last().copied()]
                }
                _ => [None, None],
            }
        };
        let Some(position) = position.checked_sub(content.len()) else {
            let value = content.get(position).copied().flatten().unwrap_or(Value::None);
            return Some((Segment::Same { attributes: !self.is_transparent(object) }, value));
        };
        match position.checked_sub(object.items.len()) {
            None => item(&object.items, position),
            Some(position) => self.pair(&object.pairs, position),
        }
    }

    fn pair(&self, pairs: &[(Value, Value)], position: usize) -> Option<(Segment<'a>, Value)> {
        let &(key, value) = pairs.get(position)?;
        Some((self.segment(key, position), value))
    }

    fn segment(&self, key: Value, position: usize) -> Segment<'a> {
        match key {
            Value::Int(number) => Segment::Number(number),
            _ => self.heap.text(key).map_or(Segment::Entry(position), Segment::Text),
        }
    }

    /// The list of pairs from which Python 2 makes an `OrderedDict`.
    fn listed_pairs(&self, object: &Object) -> Option<&'h [Value]> {
        if self.heap.global(object.callable) != Some(("collections", "OrderedDict")) {
            return None;
        }
        let &[list] = self.heap.sequence(object.arguments)? else { return None };
        self.heap.sequence(list)
    }

    fn is_transparent(&self, object: &Object) -> bool {
        self.heap.global(object.callable).is_some_and(|(module, name)| {
            TRANSPARENT.iter().any(|(known, names)| *known == module && names.contains(&name))
        })
    }
}

fn item<'a>(items: &[Value], position: usize) -> Option<(Segment<'a>, Value)> {
    let number = i64::try_from(position).ok()?;
    Some((Segment::Number(number), *items.get(position)?))
}
