//! Seeded changes to valid files.

use std::ops::Range;

/// Numbers at the edges of what readers expect.
const INTERESTING: [u64; 20] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x10000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Number of kinds of changes; the first ones keep the length of the input.
const KINDS: usize = 13;
const KINDS_THAT_KEEP_LENGTH: usize = 7;
/// An input grows by at most this many bytes beyond twice its length.
const MAX_GROWTH: usize = 4096;
/// How far behind a landmark a number is changed.
const LANDMARK_REACH: usize = 64;

/// Changes files, the same way for the same seed.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
    words: Vec<Vec<u8>>,
    landmarks: Vec<Vec<u8>>,
}

impl Mutator {
    /// A mutator that knows nothing of the format.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, words: Vec::new(), landmarks: Vec::new() }
    }

    /// Also inserts these words of the format, and changes numbers shortly after these landmarks.
    pub fn with_format(mut self, words: &[&[u8]], landmarks: &[&[u8]]) -> Self {
        self.words = words.iter().map(|word| word.to_vec()).collect();
        self.landmarks = landmarks.iter().map(|landmark| landmark.to_vec()).collect();
        self
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % (end.max(1) as u64)) as usize
    }

    /// `input` with 1 to 8 changes.
    pub fn mutate(&mut self, input: &[u8]) -> Vec<u8> {
        self.mutate_with(input, input)
    }

    /// `input` with 1 to 8 changes, some of which copy from `other`.
    pub fn mutate_with(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        let longest = 2 * input.len() + MAX_GROWTH;
        // In most formats a change of length is noticed before anything else, so half of the inputs keep theirs.
        let kinds = if self.below(2) == 0 { KINDS_THAT_KEEP_LENGTH } else { KINDS };
        let most = self.below(8);
        for _ in 0..=self.below(most + 1) {
            self.change(kinds, &mut bytes, other);
            bytes.truncate(longest);
        }
        bytes
    }

    fn change(&mut self, kinds: usize, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        match self.below(kinds) {
            0 | 1 => {
                let bit = 1 << self.below(8);
                overwrite(bytes, at, |byte| byte ^ bit, 1);
            }
            2 => {
                let value = self.below(256) as u8;
                let count = 1 + self.below(4);
                overwrite(bytes, at, |_| value, count);
            }
            3 => self.overwrite_number(bytes, at),
            4 => {
                if let Some(at) = self.after_landmark(bytes) {
                    self.overwrite_number(bytes, at);
                }
            }
            5 | 6 => {
                let piece = self.piece(other);
                bytes.iter_mut().skip(at).zip(piece).for_each(|(byte, new)| *byte = new);
            }
            KINDS_THAT_KEEP_LENGTH | 8 => {
                let piece = self.piece(other);
                bytes.splice(at..at, piece);
            }
            9 => {
                let range = self.range(bytes.len());
                bytes.drain(range);
            }
            10 => {
                let range = self.range(bytes.len());
                let copy = bytes.get(range).unwrap_or_default().to_vec();
                bytes.splice(at..at, copy);
            }
            11 => {
                let range = self.range(bytes.len());
                let moved: Vec<u8> = bytes.drain(range).collect();
                let at = self.below(bytes.len());
                bytes.splice(at..at, moved);
            }
            // A short cut is rare, since little is left to read.
            _ if self.below(4) == 0 => bytes.truncate(at),
            _ => {
                let value = self.below(256) as u8;
                let count = self.below(16);
                bytes.splice(at..at, std::iter::repeat_n(value, count));
            }
        }
    }

    /// A word of the format or, half of the time, some part of `other`.
    fn piece(&mut self, other: &[u8]) -> Vec<u8> {
        let word = self.below(2 * self.words.len());
        if let Some(word) = self.words.get(word) {
            return word.clone();
        }
        let range = self.range(other.len());
        other.get(range).unwrap_or_default().to_vec()
    }

    /// Puts an interesting number of 1 to 8 bytes, in either byte order, or a small difference to the old byte.
    fn overwrite_number(&mut self, bytes: &mut [u8], at: usize) {
        let width = 1 << self.below(4);
        let mut number = match self.below(4) {
            0 => self.below(bytes.len()) as u64,
            _ => INTERESTING.get(self.below(INTERESTING.len())).copied().unwrap_or(0),
        };
        number = number.wrapping_add(self.below(3) as u64).wrapping_sub(1);
        let mut written = number.to_le_bytes();
        if self.below(4) == 0 {
            written[..width].reverse();
        }
        bytes.iter_mut().skip(at).zip(written.into_iter().take(width)).for_each(|(byte, new)| *byte = new);
    }

    /// A place shortly after a landmark, if the first one that is tried occurs.
    fn after_landmark(&mut self, bytes: &[u8]) -> Option<usize> {
        let landmark = self.below(self.landmarks.len());
        let landmark = self.landmarks.get(landmark)?;
        let found: Vec<usize> = bytes
            .windows(landmark.len().max(1))
            .enumerate()
            .filter(|(_, b)| b == landmark)
            .map(|(i, _)| i)
            .collect();
        let start = *found.get(self.below(found.len()))?;
        Some(start + self.below(LANDMARK_REACH))
    }

    /// Some part of `length` bytes, more often short than long.
    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length);
        let limit = if self.below(4) == 0 { length } else { 32 };
        let taken = self.below(limit.min(length - start) + 1);
        start..start + taken
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: impl Fn(u8) -> u8, count: usize) {
    bytes.iter_mut().skip(at).take(count).for_each(|byte| *byte = new(*byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_mutations() {
        let run = |seed| {
            let mut mutator = Mutator::new(seed).with_format(&[b"word"], &[b"42"]);
            (0..500).map(|_| mutator.mutate(b"0123456789 42 0123456789")).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).iter().any(|bytes| bytes.windows(4).any(|window| window == b"word")));
    }

    #[test]
    fn inputs_stay_of_moderate_length_and_may_be_empty() {
        let mut mutator = Mutator::new(3);
        let mut bytes = vec![7; 100];
        for _ in 0..2000 {
            let changed = mutator.mutate(&bytes);
            assert!(changed.len() <= 2 * bytes.len() + MAX_GROWTH);
            bytes = changed.into_iter().take(100).collect();
        }
        mutator.mutate(&[]);
    }
}
