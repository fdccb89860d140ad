//! What a pickle describes: small values, and nodes that hold other values.
//!
//! Values are plain numbers and positions in the pickle, 16 bytes each, and containers refer to each other by
//! number. Hence shared and cyclic structures cost nothing extra, and nothing is dropped recursively.

/// Names of modules, classes and storages are looked at again and again, so they must be short. Longer ones do not occur.
const MAX_IDENTIFIER: u32 = 1024;

/// A piece of the pickle's bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub start: u32,
    pub length: u32,
}

/// A value of a pickle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A text in UTF-8.
    Text(Span),
    /// Bytes, a text in another encoding or an integer beyond 64 bits: nothing that is ever asked for.
    Bytes,
    /// A name from a module: number in [`Heap::global`].
    Global(u32),
    /// Number in [`Heap::node`].
    Node(u32),
}

/// A value that holds others.
#[derive(Debug)]
pub(crate) enum Node {
    Tuple(Vec<Value>),
    /// A list or a set.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Object(Box<Object>),
    /// Something outside the pickle; for torch, a storage.
    Persistent(Value),
}

/// What a call would have returned.
#[derive(Debug)]
pub(crate) struct Object {
    /// A class or function; in honest pickles a [`Value::Global`].
    pub callable: Value,
    /// Positional arguments; in honest pickles a tuple.
    pub arguments: Value,
    /// The state that the object was given afterwards, most often a dict of attributes.
    pub state: Value,
    /// What was appended to it.
    pub items: Vec<Value>,
    /// What was stored in it under keys.
    pub pairs: Vec<(Value, Value)>,
}

/// All values of a pickle.
#[derive(Debug)]
pub(crate) struct Heap<'a> {
    source: &'a [u8],
    globals: Vec<(Span, Span)>,
    nodes: Vec<Node>,
}

impl<'a> Heap<'a> {
    pub(super) fn new(source: &'a [u8]) -> Self {
        Self { source, globals: Vec::new(), nodes: Vec::new() }
    }

    /// Adds a node.
    pub(super) fn add(&mut self, node: Node) -> Result<Value, String> {
        let number = u32::try_from(self.nodes.len()).map_err(|_| "too many values")?;
        self.nodes.push(node);
        Ok(Value::Node(number))
    }

    /// Adds the name of something in a module.
    pub(super) fn add_global(&mut self, module: Span, name: Span) -> Result<Value, String> {
        if module.length.max(name.length) > MAX_IDENTIFIER {
            return Err(format!("a name of more than {MAX_IDENTIFIER} bytes"));
        }
        let number = u32::try_from(self.globals.len()).map_err(|_| "too many names")?;
        self.globals.push((module, name));
        Ok(Value::Global(number))
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        let Value::Node(number) = value else { return None };
        self.nodes.get_mut(number as usize)
    }

    /// The node behind a value.
    pub(crate) fn node(&self, value: Value) -> Option<&Node> {
        let Value::Node(number) = value else { return None };
        self.nodes.get(number as usize)
    }

    /// All nodes in the order in which they were made.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Module and name behind a value, if it is a global.
    pub(crate) fn global(&self, value: Value) -> Option<(&'a str, &'a str)> {
        let Value::Global(number) = value else { return None };
        let &(module, name) = self.globals.get(number as usize)?;
        Some((self.slice_text(module)?, self.slice_text(name)?))
    }

    /// The text behind a value, if it is one.
    pub(crate) fn text(&self, value: Value) -> Option<&'a str> {
        let Value::Text(span) = value else { return None };
        self.slice_text(span)
    }

    /// The text behind a value, if it is one that can name a class or storage.
    pub(crate) fn identifier(&self, value: Value) -> Option<&'a str> {
        let Value::Text(span) = value else { return None };
        (span.length <= MAX_IDENTIFIER).then(|| self.slice_text(span))?
    }

    /// The items of a tuple or list.
    pub(crate) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a short text key of a dict.
    pub(crate) fn get(&self, dict: Value, key: &str) -> Option<Value> {
        let Node::Dict(pairs) = self.node(dict)? else { return None };
        pairs.iter().find(|(candidate, _)| self.identifier(*candidate) == Some(key)).map(|&(_, value)| value)
    }

    fn slice(&self, span: Span) -> Option<&'a [u8]> {
        self.source.get(span.start as usize..)?.get(..span.length as usize)
    }

    fn slice_text(&self, span: Span) -> Option<&'a str> {
        std::str::from_utf8(self.slice(span)?).ok()
    }
}
