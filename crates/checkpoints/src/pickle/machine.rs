//! The stack machine that runs a pickle and calls nothing.

use super::opcode::{Bytes, Instruction};
use super::value::{Heap, Node, Object, Value};
use std::collections::HashMap;

/// A pickle may have this many instructions. Those of large checkpoints have some ten thousand; a list of a
/// million numbers still fits.
pub(crate) const MAX_INSTRUCTIONS: usize = 1 << 22;

/// What a pickle holds.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub heap: Heap<'a>,
    /// The value that loading it would have returned.
    pub root: Value,
    /// Number of bytes up to the end of the pickle; others may follow.
    pub length: usize,
}

/// Reads the pickle at the start of `source`.
pub(crate) fn load(source: &[u8]) -> Result<Pickle<'_>, String> {
    let mut bytes = Bytes::new(source)?;
    let mut machine =
        Machine { heap: Heap::new(source), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    for _ in 0..MAX_INSTRUCTIONS {
        let at = bytes.position();
        let instruction = bytes.instruction()?;
        if instruction == Instruction::Stop {
            let root = machine.pop().ok_or("the pickle ends without a value")?;
            return Ok(Pickle { heap: machine.heap, root, length: bytes.position() });
        }
        machine.execute(instruction).map_err(|reason| format!("{reason} at byte {at} of the pickle"))?;
    }
    Err(format!("the pickle has more than {MAX_INSTRUCTIONS} instructions"))
}

struct Machine<'a> {
    heap: Heap<'a>,
    stack: Vec<Value>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

const UNDERFLOW: &str = "an instruction lacks its operands";

impl Machine<'_> {
    fn execute(&mut self, instruction: Instruction) -> Result<(), String> {
        match instruction {
            Instruction::Nothing | Instruction::Stop => {}
            Instruction::Push(value) => self.stack.push(value),
            Instruction::Global(module, name) => {
                let global = self.heap.add_global(module, name)?;
                self.stack.push(global);
            }
            Instruction::StackGlobal => {
                let (Value::Text(module), Value::Text(name)) = self.pop_two()? else {
                    return Err("a name that is no text".into());
                };
                let global = self.heap.add_global(module, name)?;
                self.stack.push(global);
            }
            Instruction::Mark => self.marks.push(self.stack.len()),
            Instruction::Pop => {
                // Python pops a mark if nothing lies above it.
                if self.pop().is_none() {
                    self.marks.pop().ok_or(UNDERFLOW)?;
                }
            }
            Instruction::PopMark => drop(self.above_mark()?),
            Instruction::Duplicate => {
                let top = self.top()?;
                self.stack.push(top);
            }
            Instruction::EmptyTuple => self.push_node(Node::Tuple(Vec::new()))?,
            Instruction::TupleOf(count) => {
                let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
                let items = self.stack.drain(start.ok_or(UNDERFLOW)?..).collect();
                self.push_node(Node::Tuple(items))?;
            }
            Instruction::Tuple => {
                let items = self.above_mark()?;
                self.push_node(Node::Tuple(items))?;
            }
            Instruction::EmptyList => self.push_node(Node::List(Vec::new()))?,
            Instruction::List => {
                let items = self.above_mark()?;
                self.push_node(Node::List(items))?;
            }
            Instruction::EmptyDict => self.push_node(Node::Dict(Vec::new()))?,
            Instruction::Dict => {
                let pairs = pairs(&self.above_mark()?)?;
                self.push_node(Node::Dict(pairs))?;
            }
            Instruction::Append => {
                let item = self.pop().ok_or(UNDERFLOW)?;
                self.append(&[item])?;
            }
            Instruction::Appends => {
                let items = self.above_mark()?;
                self.append(&items)?;
            }
            Instruction::SetItem => {
                let pair = self.pop_two()?;
                self.set_items(vec![pair])?;
            }
            Instruction::SetItems => {
                let pairs = pairs(&self.above_mark()?)?;
                self.set_items(pairs)?;
            }
            Instruction::Reduce => {
                let (callable, arguments) = self.pop_two()?;
                self.call(callable, arguments)?;
            }
            Instruction::NewObjectWithKeywords => {
                let _keywords = self.pop().ok_or(UNDERFLOW)?;
                let (callable, arguments) = self.pop_two()?;
                self.call(callable, arguments)?;
            }
            Instruction::Instance(module, name) => {
                let items = self.above_mark()?;
                let callable = self.heap.add_global(module, name)?;
                let arguments = self.heap.add(Node::Tuple(items))?;
                self.call(callable, arguments)?;
            }
            Instruction::Object => {
                let mut items = self.above_mark()?;
                if items.is_empty() {
                    return Err(UNDERFLOW.into());
                }
                let callable = items.remove(0);
                let arguments = self.heap.add(Node::Tuple(items))?;
                self.call(callable, arguments)?;
            }
            Instruction::Build => {
                let state = self.pop().ok_or(UNDERFLOW)?;
                let top = self.top()?;
                // An `OrderedDict` may have attributes, of which torch writes only `_metadata`: not needed.
                if let Some(Node::Object(object)) = self.heap.node_mut(top) {
                    object.state = state;
                }
            }
            Instruction::PersistentId => {
                let id = self.pop().ok_or(UNDERFLOW)?;
                self.push_node(Node::Persistent(id))?;
            }
            Instruction::Get(number) => {
                let value = self.memo.get(&number).ok_or_else(|| format!("no memo entry {number}"))?;
                self.stack.push(*value);
            }
            Instruction::Put(number) => {
                let top = self.top()?;
                self.memo.insert(number, top);
            }
            Instruction::Memoize => {
                let number = u32::try_from(self.memo.len()).map_err(|_| "too many memo entries")?;
                let top = self.top()?;
                self.memo.insert(number, top);
            }
        }
        Ok(())
    }

    /// Height of the stack at the last mark: what lies below can only be reached through it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Option<Value> {
        if self.stack.len() > self.floor() { self.stack.pop() } else { None }
    }

    /// The two topmost values, the lower one first.
    fn pop_two(&mut self) -> Result<(Value, Value), String> {
        let upper = self.pop().ok_or(UNDERFLOW)?;
        Ok((self.pop().ok_or(UNDERFLOW)?, upper))
    }

    fn top(&self) -> Result<Value, String> {
        if self.stack.len() <= self.floor() {
            return Err(UNDERFLOW.into());
        }
        self.stack.last().copied().ok_or_else(|| UNDERFLOW.into())
    }

    /// Removes the last mark and everything above it.
    fn above_mark(&mut self) -> Result<Vec<Value>, String> {
        let start = self.marks.pop().ok_or("a mark is missing")?;
        // Not `split_off`, which may hand out a vector with the capacity of the whole stack.
        Ok(self.stack.drain(start.min(self.stack.len())..).collect())
    }

    fn push_node(&mut self, node: Node) -> Result<(), String> {
        let value = self.heap.add(node)?;
        self.stack.push(value);
        Ok(())
    }

    fn append(&mut self, new: &[Value]) -> Result<(), String> {
        let top = self.top()?;
        match self.heap.node_mut(top) {
            Some(Node::List(items)) => items.extend_from_slice(new),
            Some(Node::Object(object)) => object.items.extend_from_slice(new),
            _ => return Err("items for something that is no list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, new: Vec<(Value, Value)>) -> Result<(), String> {
        let top = self.top()?;
        match self.heap.node_mut(top) {
            Some(Node::Dict(pairs)) => pairs.extend(new),
            Some(Node::Object(object)) => object.pairs.extend(new),
            _ => return Err("keys for something that is no dict".into()),
        }
        Ok(())
    }

    /// Records a call. That of `OrderedDict()` is an empty dict.
    fn call(&mut self, callable: Value, arguments: Value) -> Result<(), String> {
        let ordered_dict = self.heap.global(callable) == Some(("collections", "OrderedDict"));
        if ordered_dict && self.heap.sequence(arguments).is_some_and(<[Value]>::is_empty) {
            return self.push_node(Node::Dict(Vec::new()));
        }
        let (items, pairs) = (Vec::new(), Vec::new());
        self.push_node(Node::Object(Box::new(Object {
            callable,
            arguments,
            state: Value::None,
            items,
            pairs,
        })))
    }
}

fn pairs(flat: &[Value]) -> Result<Vec<(Value, Value)>, String> {
    let (pairs, rest) = flat.as_chunks();
    if !rest.is_empty() {
        return Err("a key without a value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
