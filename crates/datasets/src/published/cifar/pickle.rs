//! Just enough of Python's pickle machine to find labels and pixels in the Python archives. Nothing is executed: a
//! call becomes a value that remembers its arguments. Texts are positions in the file, so that pixels are not copied,
//! and every instruction makes at most one value of constant size, so that memory is bounded by the length of the
//! file.
//!
//! (The pickle reader of `regulus-checkpoints` serves tensors: it drops strings of bytes, which is where the pixels
//! are.)

use std::collections::HashMap;
use std::ops::Range;

/// A value on the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Int(i64),
    /// Start and end of text or bytes in the file.
    Text(usize, usize),
    /// Number of a container or call.
    Node(usize),
    /// Something that labels and pixels are not made of.
    Other,
}

/// A value that holds others.
#[derive(Debug)]
pub(super) enum Node {
    Sequence(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// The result of a call; `state` is what it was given afterwards.
    Call {
        arguments: Value,
        state: Value,
    },
}

/// A pickle that has been run.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    result: Value,
}

impl<'a> Pickle<'a> {
    /// Runs a pickle.
    pub fn load(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            nodes: Vec::new(),
        };
        let result = machine.run()?;
        Ok(Self { bytes, nodes: machine.nodes, result })
    }

    fn node(&self, value: Value) -> Option<&Node> {
        let Value::Node(number) = value else { return None };
        self.nodes.get(number)
    }

    /// The bytes of a text and where they are in the file.
    pub fn text(&self, value: Value) -> Option<(Range<usize>, &'a [u8])> {
        let Value::Text(start, end) = value else { return None };
        Some((start..end, self.bytes.get(start..end)?))
    }

    /// The items of a list or tuple.
    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Arguments and state of a call.
    pub fn call(&self, value: Value) -> Option<(Value, Value)> {
        match self.node(value)? {
            Node::Call { arguments, state } => Some((*arguments, *state)),
            _ => None,
        }
    }

    /// The value under a key of the dict that the pickle is.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        let Node::Dict(pairs) = self.node(self.result)? else { return None };
        let is_key = |candidate: Value| self.text(candidate).is_some_and(|(_, text)| text == key);
        pairs.iter().find(|(candidate, _)| is_key(*candidate)).map(|&(_, value)| value)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let start = self.at;
            let [opcode] = self.array()?;
            match opcode {
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'}' => self.push_node(Node::Dict(Vec::new())),
                b']' | b')' => self.push_node(Node::Sequence(Vec::new())),
                b't' | b'l' => self.collect()?,
                b'd' => self.collect_dict()?,
                0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
                b'U' | 0x8c | b'C' => self.text::<1>()?,
                b'T' | b'X' | b'B' => self.text::<4>()?,
                0x8d | 0x8e => self.text::<8>()?,
                b'K' => self.int::<1>()?,
                b'M' => self.int::<2>()?,
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(number.into()));
                }
                b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
                b'G' => {
                    self.skip(8)?;
                    self.stack.push(Value::Other);
                }
                b'c' => {
                    self.line()?;
                    self.line()?;
                    self.stack.push(Value::Other);
                }
                0x93 => {
                    self.pop()?;
                    self.pop()?;
                    self.stack.push(Value::Other);
                }
                b'R' | 0x81 => {
                    let arguments = self.pop()?;
                    self.pop()?;
                    self.push_node(Node::Call { arguments, state: Value::Other });
                }
                b'b' => self.build()?,
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.extend(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(items)?;
                }
                b'q' => {
                    let [number] = self.array()?;
                    self.put(number.into())?;
                }
                b'r' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.put(number)?;
                }
                0x94 => self.put(u32::try_from(self.memo.len()).unwrap_or(u32::MAX))?,
                b'h' => {
                    let [number] = self.array()?;
                    self.recall(number.into())?;
                }
                b'j' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.recall(number)?;
                }
                b'0' => {
                    self.pop()?;
                }
                _ => {
                    return Err(format!(
                        "the pickle instruction 0x{opcode:02x} at byte {start} is not supported"
                    ));
                }
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| "the pickle is cut short".to_owned())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the pickle is cut short".to_owned())
    }

    fn skip(&mut self, length: usize) -> Result<(), String> {
        self.take(length).map(|_| ())
    }

    fn line(&mut self) -> Result<(), String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle is cut short")?;
        self.skip(end + 1)
    }

    fn unsigned<const WIDTH: usize>(&mut self) -> Result<u64, String> {
        Ok(self.array::<WIDTH>()?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn text<const WIDTH: usize>(&mut self) -> Result<(), String> {
        let length = usize::try_from(self.unsigned::<WIDTH>()?).map_err(|_| "a text beyond the file")?;
        let start = self.at;
        self.skip(length)?;
        self.stack.push(Value::Text(start, self.at));
        Ok(())
    }

    fn int<const WIDTH: usize>(&mut self) -> Result<(), String> {
        let number = self.unsigned::<WIDTH>()?;
        self.stack.push(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err("the pickle takes a value from an empty stack".to_owned());
        }
        self.stack.pop().ok_or_else(|| "the pickle takes a value from an empty stack".to_owned())
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("the pickle has no mark where one is needed")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push_node(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(Value::Node(self.nodes.len() - 1));
    }

    fn collect(&mut self) -> Result<(), String> {
        let items = self.since_mark()?;
        self.push_node(Node::Sequence(items));
        Ok(())
    }

    fn collect_dict(&mut self) -> Result<(), String> {
        let items = self.since_mark()?;
        self.push_node(Node::Dict(Vec::new()));
        self.set(items)
    }

    fn tuple(&mut self, length: usize) -> Result<(), String> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push_node(Node::Sequence(items));
        Ok(())
    }

    /// The node on top of the stack, if it is one.
    fn top(&mut self) -> Option<&mut Node> {
        match self.stack.last() {
            Some(&Value::Node(number)) => self.nodes.get_mut(number),
            _ => None,
        }
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top() {
            Some(Node::Sequence(list)) => list.extend(items),
            _ => return Err("the pickle appends to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top() {
            Some(Node::Dict(pairs)) => {
                pairs.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err("the pickle stores a key in what is no dict".to_owned()),
        }
        Ok(())
    }

    fn build(&mut self) -> Result<(), String> {
        let given = self.pop()?;
        if let Some(Node::Call { state, .. }) = self.top() {
            *state = given;
        }
        Ok(())
    }

    fn put(&mut self, number: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or("the pickle remembers a value of an empty stack")?;
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Result<(), String> {
        let value = *self.memo.get(&number).ok_or("the pickle recalls a value that it did not remember")?;
        self.stack.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_pickle_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pickle::load(&bytes);
        }

        #[test]
        fn any_instructions_are_a_pickle_or_an_error(
            bytes in prop::collection::vec(prop::sample::select(b"(.}])tlde\x85\x86\x87U\x01K\x02NR\x81basuqh0".to_vec()), 0..60),
        ) {
            let _ = Pickle::load(&bytes);
        }
    }
}
