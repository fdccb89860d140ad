//! The bytes of a pickle as instructions.
//!
//! All opcodes of protocols 0 to 5 that pickles of tensors contain. Refused are the extension registry
//! (`EXT1`, `EXT2`, `EXT4`), out-of-band buffers, byte arrays and persistent ids as text (`PERSID`), which
//! torch has never written.

use super::value::{Span, Value};

/// One instruction of the stack machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Instruction {
    /// Nothing to do: the start of a protocol or frame.
    Nothing,
    Push(Value),
    Global(Span, Span),
    StackGlobal,
    Mark,
    Pop,
    PopMark,
    Duplicate,
    EmptyTuple,
    /// The topmost 1, 2 or 3 values as a tuple.
    TupleOf(usize),
    /// Everything above the mark as a tuple.
    Tuple,
    EmptyList,
    List,
    EmptyDict,
    Dict,
    Append,
    /// Everything above the mark appended to what lies below it. Also adds to a set.
    Appends,
    SetItem,
    SetItems,
    /// Call with a tuple of arguments.
    Reduce,
    /// The same with a tuple and a dict of arguments.
    NewObjectWithKeywords,
    /// Call the class with everything above the mark.
    Instance(Span, Span),
    /// The same where the class is the first above the mark.
    Object,
    Build,
    PersistentId,
    Get(u32),
    Put(u32),
    Memoize,
    Stop,
}

/// The bytes of a pickle from the current position on.
#[derive(Debug)]
pub(super) struct Bytes<'a> {
    source: &'a [u8],
    position: usize,
}

impl<'a> Bytes<'a> {
    /// `source` is at most 4 GiB long, so that every position fits a [`Span`].
    pub(super) fn new(source: &'a [u8]) -> Result<Self, String> {
        u32::try_from(source.len()).map_err(|_| "a pickle of more than 4 GiB")?;
        Ok(Self { source, position: 0 })
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let bytes = self
            .source
            .get(self.position..)
            .and_then(|rest| rest.get(..length))
            .ok_or_else(|| format!("the pickle ends where {length} more bytes should follow"))?;
        self.position += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| "the pickle is too short".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// The bytes after their length, which is a number of `WIDTH` bytes.
    fn counted<const WIDTH: usize>(&mut self) -> Result<(Span, &'a [u8]), String> {
        let mut length = [0; size_of::<u64>()];
        length.iter_mut().zip(self.array::<WIDTH>()?).for_each(|(to, from)| *to = from);
        let start = self.position;
        let bytes = self.take(usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX))?;
        Ok((span(start, self.position)?, bytes))
    }

    /// The bytes up to the next line feed, without it.
    fn line(&mut self) -> Result<(Span, &'a [u8]), String> {
        let start = self.position;
        let rest = self.source.get(start..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle ends within a line")?;
        let line = self.take(length)?;
        let span = span(start, self.position)?;
        self.position += 1;
        Ok((span, line))
    }

    /// The next instruction.
    pub(super) fn instruction(&mut self) -> Result<Instruction, String> {
        use Instruction::*;
        let at = self.position;
        Ok(match self.byte()? {
            0x80 => match self.byte()? {
                0..=5 => Nothing,
                protocol => return Err(format!("pickle protocol {protocol} is not known")),
            },
            0x95 => {
                self.take(8)?;
                Nothing
            }
            b'.' => Stop,
            b'N' => Push(Value::None),
            0x88 => Push(Value::Bool(true)),
            0x89 => Push(Value::Bool(false)),
            b'K' => Push(Value::Int(self.byte()?.into())),
            b'M' => Push(Value::Int(u16::from_le_bytes(self.array()?).into())),
            b'J' => Push(Value::Int(i32::from_le_bytes(self.array()?).into())),
            b'G' => Push(Value::Float(f64::from_be_bytes(self.array()?))),
            0x8a => Push(self.integer::<1>()?),
            0x8b => Push(self.integer::<4>()?),
            b'I' => Push(self.integer_line()?),
            b'L' => Push(self.integer_line()?),
            b'F' => {
                let (_, line) = self.line()?;
                let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
                Push(number.map_or(Value::Bytes, Value::Float))
            }
            0x8c | b'U' => Push(self.text::<1>()?),
            b'X' | b'T' => Push(self.text::<4>()?),
            0x8d => Push(self.text::<8>()?),
            b'V' => {
                let (span, line) = self.line()?;
                Push(unescaped(span, line))
            }
            b'S' => {
                let (span, line) = self.line()?;
                let [b'\'' | b'"', inner @ .., b'\'' | b'"'] = line else {
                    return Err(format!("a text without quotes at byte {at}"));
                };
                Push(unescaped(Span { start: span.start + 1, length: span.length - 2 }, inner))
            }
            b'C' => Push(self.bytes::<1>()?),
            b'B' => Push(self.bytes::<4>()?),
            0x8e => Push(self.bytes::<8>()?),
            b'c' => Global(self.line()?.0, self.line()?.0),
            0x93 => StackGlobal,
            b'i' => Instance(self.line()?.0, self.line()?.0),
            b'o' => Object,
            b'(' => Mark,
            b'0' => Pop,
            b'1' => PopMark,
            b'2' => Duplicate,
            b')' => EmptyTuple,
            b't' => Tuple,
            0x85 => TupleOf(1),
            0x86 => TupleOf(2),
            0x87 => TupleOf(3),
            // A set is kept as a list.
            b']' | 0x8f => EmptyList,
            b'l' | 0x91 => List,
            b'}' => EmptyDict,
            b'd' => Dict,
            b'a' => Append,
            b'e' | 0x90 => Appends,
            b's' => SetItem,
            b'u' => SetItems,
            b'R' | 0x81 => Reduce,
            0x92 => NewObjectWithKeywords,
            b'b' => Build,
            b'Q' => PersistentId,
            b'h' => Get(self.byte()?.into()),
            b'j' => Get(u32::from_le_bytes(self.array()?)),
            b'g' => Get(self.memo_line()?),
            b'q' => Put(self.byte()?.into()),
            b'r' => Put(u32::from_le_bytes(self.array()?)),
            b'p' => Put(self.memo_line()?),
            0x94 => Memoize,
            opcode => {
                return Err(format!("the pickle instruction 0x{opcode:02x} at byte {at} is not supported"));
            }
        })
    }

    fn text<const WIDTH: usize>(&mut self) -> Result<Value, String> {
        let (span, bytes) = self.counted::<WIDTH>()?;
        Ok(if std::str::from_utf8(bytes).is_ok() { Value::Text(span) } else { Value::Bytes })
    }

    fn bytes<const WIDTH: usize>(&mut self) -> Result<Value, String> {
        self.counted::<WIDTH>().map(|_| Value::Bytes)
    }

    /// A little-endian integer in two's complement.
    fn integer<const WIDTH: usize>(&mut self) -> Result<Value, String> {
        let (_, bytes) = self.counted::<WIDTH>()?;
        if bytes.len() > size_of::<i64>() {
            return Ok(Value::Bytes);
        }
        let sign = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut whole = [if sign { 0xff } else { 0 }; size_of::<i64>()];
        whole.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    /// An integer in decimal digits. Protocol 0 and 1 write truth values as `00` and `01`.
    fn integer_line(&mut self) -> Result<Value, String> {
        let (_, line) = self.line()?;
        let text = std::str::from_utf8(line).unwrap_or_default().trim().trim_end_matches('L');
        Ok(match line {
            b"00" => Value::Bool(false),
            b"01" => Value::Bool(true),
            _ => text.parse().map_or(Value::Bytes, Value::Int),
        })
    }

    fn memo_line(&mut self) -> Result<u32, String> {
        let (_, line) = self.line()?;
        let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| "a memo entry that is no number".into())
    }
}

fn span(start: usize, end: usize) -> Result<Span, String> {
    let number = |value| u32::try_from(value).map_err(|_| "a pickle of more than 4 GiB");
    Ok(Span { start: number(start)?, length: number(end - start)? })
}

/// A text that was written with escapes. One that really has some stays a string of bytes: no key of a tensor does.
fn unescaped(span: Span, bytes: &[u8]) -> Value {
    if bytes.is_ascii() && !bytes.contains(&b'\\') { Value::Text(span) } else { Value::Bytes }
}
