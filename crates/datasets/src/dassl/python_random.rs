//! Python's `random` module as far as samplers use it: the Mersenne Twister MT19937 with CPython's seeding, and the
//! rejection sampling of CPython 3.2 and later.
//!
//! M. Matsumoto and T. Nishimura, "Mersenne Twister: A 623-dimensionally equidistributed uniform pseudorandom number
//! generator", ACM TOMACS 8(1), 1998; seeding by `init_by_array` of the 2002 version.

const WORDS: usize = 624;
const SHIFT: usize = 397;
const UPPER_BIT: u32 = 0x8000_0000;

/// The generator behind Python's `random`, seeded with an integer.
///
/// ```
/// use regulus_datasets::dassl::PythonRandom;
///
/// // random.seed(1); random.sample(range(1000), 3)
/// assert_eq!(PythonRandom::seed(1).sample(1000, 3), [137, 582, 867]);
/// ```
#[derive(Debug, Clone)]
pub struct PythonRandom {
    state: [u32; WORDS],
    next: usize,
}

impl PythonRandom {
    /// `random.seed(seed)`.
    pub fn seed(seed: u64) -> Self {
        let mut state = [0u32; WORDS];
        // init_genrand(19650218)
        state[0] = 19_650_218;
        for i in 1..WORDS {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        // init_by_array with the 32-bit digits of the seed, the lowest first
        let digits = [seed as u32, (seed >> 32) as u32];
        let digits = if digits[1] == 0 { &digits[..1] } else { &digits[..] };
        let (mut i, mut j) = (1, 0);
        let step = |state: &mut [u32; WORDS], i: &mut usize, factor: u32| {
            let before = state[*i - 1];
            let mixed = state[*i] ^ (before ^ (before >> 30)).wrapping_mul(factor);
            state[*i] = mixed;
            *i += 1;
        };
        let wrap = |state: &mut [u32; WORDS], i: &mut usize| {
            if *i == WORDS {
                state[0] = state[WORDS - 1];
                *i = 1;
            }
        };
        for _ in 0..WORDS.max(digits.len()) {
            step(&mut state, &mut i, 1_664_525);
            state[i - 1] = state[i - 1].wrapping_add(digits[j]).wrapping_add(j as u32);
            wrap(&mut state, &mut i);
            j = (j + 1) % digits.len();
        }
        for _ in 1..WORDS {
            step(&mut state, &mut i, 1_566_083_941);
            state[i - 1] = state[i - 1].wrapping_sub(i as u32 - 1);
            wrap(&mut state, &mut i);
        }
        state[0] = UPPER_BIT;
        Self { state, next: WORDS }
    }

    /// The next 32 bits of the twister.
    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            for i in 0..WORDS {
                let joined = (self.state[i] & UPPER_BIT) | (self.state[(i + 1) % WORDS] & !UPPER_BIT);
                let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + SHIFT) % WORDS] ^ (joined >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `random.random()`: 53 random bits in `[0, 1)`.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `random.getrandbits(bits)` for at most 64 bits; 0 for no bits.
    pub fn getrandbits(&mut self, bits: u32) -> u64 {
        match bits.min(64) {
            0 => 0,
            bits @ 1..=32 => u64::from(self.word() >> (32 - bits)),
            bits => {
                let low = u64::from(self.word());
                low | u64::from(self.word() >> (64 - bits)) << 32
            }
        }
    }

    /// `random.randrange(bound)`, by `_randbelow_with_getrandbits`; 0 for a bound of 0.
    pub fn randrange(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let bits = u64::BITS - bound.leading_zeros();
        loop {
            let drawn = self.getrandbits(bits);
            if drawn < bound {
                return drawn;
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.randrange(bound as u64) as usize
    }

    /// `random.sample(range(population), count)`; the whole population, shuffled, where `count` is larger.
    pub fn sample(&mut self, population: usize, count: usize) -> Vec<usize> {
        let count = count.min(population);
        // The size from which a set takes less memory than a copy of the population, as CPython estimates it.
        let mut set_size = 21usize;
        if count > 5 {
            // 4 ** ceil(log(3 * count, 4)); 3 * count is no power of 4.
            let power = std::iter::successors(Some(1usize), |power| Some(power.saturating_mul(4)))
                .find(|&power| power > count.saturating_mul(3) || power == usize::MAX);
            set_size = set_size.saturating_add(power.unwrap_or(usize::MAX));
        }
        if population <= set_size {
            let mut pool: Vec<usize> = (0..population).collect();
            return (0..count)
                .map(|drawn| {
                    let at = self.below(pool.len() - drawn);
                    let last = pool.len() - drawn - 1;
                    let chosen = pool[at];
                    pool[at] = pool[last];
                    chosen
                })
                .collect();
        }
        let mut chosen = std::collections::HashSet::with_capacity(count);
        (0..count)
            .map(|_| {
                loop {
                    let at = self.below(population);
                    if chosen.insert(at) {
                        return at;
                    }
                }
            })
            .collect()
    }

    /// `random.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sample_has_each_image_once(population in 0usize..400, count in 0usize..400, seed: u64) {
            let mut sample = PythonRandom::seed(seed).sample(population, count);
            prop_assert_eq!(sample.len(), count.min(population));
            sample.sort_unstable();
            sample.dedup();
            prop_assert_eq!(sample.len(), count.min(population));
            prop_assert!(sample.iter().all(|&index| index < population));
        }

        #[test]
        fn what_is_drawn_is_below_the_bound(bound: u64, seed: u64) {
            prop_assert!(PythonRandom::seed(seed).randrange(bound) < bound.max(1));
        }
    }
}
