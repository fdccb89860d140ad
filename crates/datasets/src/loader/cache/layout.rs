//! The layout of a cache file, version 1. Numbers are little-endian.
//!
//! | Bytes | What |
//! | --- | --- |
//! | 16 | `regulus-squares\n` |
//! | 4, 4 | version; side of a square |
//! | 8, 8 | images of the source; the first `stored` of them have a row and room for a square |
//! | 32, 32 | digest of the preprocessing; digest of the list of images |
//! | 4, 4 | CRC-32 of the rows; CRC-32 of all bytes before |
//! | 24 each | rows: size and modification time (nanoseconds since 1970) of the image's file, CRC-32 of the square; two bytes: 1 if it is there, 2 if the image could not be decoded; two bytes: what is odd about the file, a bit each |
//! | | zeros up to a multiple of 4096 |
//! | side * side * 3 each | squares |

use std::ops::Range;

use super::CacheError;
use super::stamp::Stamp;

const MAGIC: &[u8; 16] = b"regulus-squares\n";
const VERSION: u32 = 1;
const HEADER: usize = 112;
const ROW: usize = 24;
const PAGE: u64 = 4096;

/// What a file is the cache of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub side: u32,
    /// Images of the source.
    pub images: u64,
    /// Digest of what pixels depend on besides the image.
    pub pixels: [u8; 32],
    /// Digest of the list of images.
    pub listing: [u8; 32],
}

/// Where things are in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Images with a row.
    pub stored: usize,
    /// Bytes of a square.
    pub square: usize,
}

impl Layout {
    /// As many squares of `side` pixels as fit the budget, of the first of `images` images.
    pub fn within(budget: u64, side: usize, images: usize) -> Result<Self, CacheError> {
        if images == 0 {
            return Err(CacheError::Empty);
        }
        let square = side.saturating_mul(side).saturating_mul(3);
        let fits = |stored: usize| Self { stored, square }.length().filter(|&length| length <= budget);
        if fits(1).is_none() {
            let needed = Self { stored: 1, square }.length().unwrap_or(u64::MAX);
            return Err(CacheError::Budget { budget, needed });
        }
        // The largest number that fits lies in `low..high`.
        let (mut low, mut high) = (1, images.saturating_add(1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle).is_some() { low = middle } else { high = middle }
        }
        Ok(Self { stored: low, square })
    }

    /// Where the squares start.
    pub fn start(self) -> Option<u64> {
        let rows = (self.stored as u64).checked_mul(ROW as u64)?;
        rows.checked_add(HEADER as u64)?.checked_next_multiple_of(PAGE)
    }

    /// Length of the file in bytes.
    pub fn length(self) -> Option<u64> {
        self.start()?.checked_add((self.stored as u64).checked_mul(self.square as u64)?)
    }
}

/// An image that was decoded, or could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Of its file at that time.
    pub stamp: Stamp,
    /// CRC-32 of the square; `None` for an image that could not be decoded.
    pub sum: Option<u32>,
    /// What is odd about the file: bit `n` for the oddity number `n`.
    pub oddities: u16,
}

/// The rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub layout: Layout,
    pub rows: Vec<Option<Row>>,
}

impl Table {
    pub fn empty(layout: Layout) -> Self {
        Self { layout, rows: vec![None; layout.stored] }
    }

    /// Header and rows.
    pub fn write(&self, key: &Key) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.rows.len() * ROW);
        for row in &self.rows {
            let stamp = row.map_or(Stamp { size: 0, modified: 0 }, |row| row.stamp);
            rows.extend(stamp.size.to_le_bytes());
            rows.extend(stamp.modified.to_le_bytes());
            rows.extend(row.and_then(|row| row.sum).unwrap_or(0).to_le_bytes());
            let state: u16 = row.map_or(0, |row| if row.sum.is_some() { 1 } else { 2 });
            rows.extend(state.to_le_bytes());
            rows.extend(row.map_or(0, |row| row.oddities).to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(HEADER + rows.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(key.side.to_le_bytes());
        bytes.extend(key.images.to_le_bytes());
        bytes.extend((self.rows.len() as u64).to_le_bytes());
        bytes.extend(key.pixels);
        bytes.extend(key.listing);
        bytes.extend(crc32fast::hash(&rows).to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend(rows);
        bytes
    }

    /// The table of a file, if it is undamaged and the cache of `key`.
    pub fn read(bytes: &[u8], key: &Key) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let number = |at: usize| number_of::<8>(header, at);
        let short = |at: usize| number_of::<4>(header, at);
        if &header[..16] != MAGIC
            || short(108)? != u64::from(crc32fast::hash(&header[..108]))
            || short(16)? != u64::from(VERSION)
        {
            return None;
        }
        let found = Key {
            side: u32::try_from(short(20)?).ok()?,
            images: number(24)?,
            pixels: *header[40..].first_chunk()?,
            listing: *header[72..].first_chunk()?,
        };
        let square = (key.side as usize).checked_mul(key.side as usize)?.checked_mul(3)?;
        let layout = Layout { stored: usize::try_from(number(32)?).ok()?, square };
        if found != *key || layout.length()? != bytes.len() as u64 {
            return None;
        }
        let rows = bytes.get(HEADER..HEADER.checked_add(layout.stored.checked_mul(ROW)?)?)?;
        if short(104)? != u64::from(crc32fast::hash(rows)) {
            return None;
        }
        let rows = rows.as_chunks::<ROW>().0.iter().map(|row| {
            let stamp = Stamp { size: number_of::<8>(row, 0)?, modified: number_of::<8>(row, 8)? };
            let sum = u32::try_from(number_of::<4>(row, 16)?).ok()?;
            let oddities = u16::try_from(number_of::<2>(row, 22)?).ok()?;
            match number_of::<2>(row, 20)? {
                1 => Some(Row { stamp, sum: Some(sum), oddities }),
                2 => Some(Row { stamp, sum: None, oddities }),
                _ => None,
            }
        });
        Some(Self { layout, rows: rows.collect() })
    }

    /// The square of image `index` in a file of this table, and the sum that it should have.
    pub fn square<'a>(&self, bytes: &'a [u8], index: usize) -> Option<(&'a [u8], u32)> {
        let sum = (*self.rows.get(index)?)?.sum?;
        let start = usize::try_from(self.layout.start()?).ok()?;
        let start = start.checked_add(index.checked_mul(self.layout.square)?)?;
        let range: Range<usize> = start..start.checked_add(self.layout.square)?;
        Some((bytes.get(range)?, sum))
    }
}

/// The number of `LENGTH` bytes at `at`.
fn number_of<const LENGTH: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<LENGTH>()?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_used_and_not_exceeded() {
        for (budget, images, stored) in
            [(4096 + 12, 9, 1), (4096 + 12 * 5, 9, 5), (4096 + 12 * 6 - 1, 9, 5), (1 << 40, 9, 9)]
        {
            let layout = Layout::within(budget, 2, images).unwrap();
            assert_eq!(layout.stored, stored);
            assert!(layout.length().unwrap() <= budget);
        }
        assert!(matches!(Layout::within(4096 + 11, 2, 9), Err(CacheError::Budget { needed: 4108, .. })));
        assert!(matches!(Layout::within(u64::MAX, usize::MAX, 9), Err(CacheError::Budget { .. })));
        assert!(matches!(Layout::within(1 << 40, 2, 0), Err(CacheError::Empty)));
    }

    #[test]
    fn what_is_written_is_read() {
        let key = Key { side: 1, images: 300, pixels: [1; 32], listing: [2; 32] };
        let layout = Layout { stored: 200, square: 3 };
        let mut table = Table::empty(layout);
        table.rows[7] = Some(Row { stamp: Stamp { size: 5, modified: u64::MAX }, sum: Some(9), oddities: 5 });
        table.rows[8] = Some(Row { stamp: Stamp { size: 6, modified: 7 }, sum: None, oddities: 0 });
        let mut bytes = table.write(&key);
        bytes.resize(layout.length().unwrap() as usize, 4);
        assert_eq!(Table::read(&bytes, &key), Some(table.clone()));
        assert_eq!(table.square(&bytes, 7), Some((&[4; 3][..], 9)));
        assert_eq!((table.square(&bytes, 8), table.square(&bytes, 999)), (None, None));
        for other in [
            Key { side: 2, ..key },
            Key { images: 301, ..key },
            Key { pixels: [3; 32], ..key },
            Key { listing: [3; 32], ..key },
        ] {
            assert_eq!(Table::read(&bytes, &other), None);
        }
        bytes.pop();
        assert_eq!(Table::read(&bytes, &key), None);
    }
}
