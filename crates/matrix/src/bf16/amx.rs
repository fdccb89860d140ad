//! The matrix unit: permission, configuration, and the kernels.
//!
//! Its instructions have no stable intrinsics yet, so that the kernels are assembly. Tiles 0 to 3 hold sums, 4 and
//! 5 the strip, 6 and 7 the panel. With split values one loop makes all three products: each of the eight tiles of
//! a step is loaded once for twelve multiplications.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{SUMS, TILE};
use crate::lines::Line;

/// Proof that the CPU has the unit and the system lets this process use it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amx(());

/// The unit is configured on this thread; it is released when this is dropped.
pub(super) struct Configured(PhantomData<*const ()>);

impl Amx {
    pub(super) fn detect() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| has_instructions() && permitted()).then_some(Self(()))
    }

    /// Eight tiles of 16 rows of 64 bytes.
    #[allow(unsafe_code)]
    pub(super) fn configure(self) -> Configured {
        let mut layout = Line::ZERO;
        layout.0[0] = 1; // the palette
        layout.0[4..8].fill(64 << 16 | 64); // bytes of a row, two tiles to a word
        layout.0[12..14].fill(u32::from_ne_bytes([16; 4])); // rows, four tiles to a word
        // SAFETY: the unit is present and permitted; the layout is 64 bytes and valid for palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &layout, options(nostack, readonly, preserves_flags)) };
        Configured(PhantomData)
    }

    /// Sets the sums to the product of a strip of `tiles` tiles and a panel. The unit must be configured, or the
    /// system ends the process.
    #[allow(unsafe_code)]
    pub(super) fn sum(self, split: bool, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line; SUMS]) {
        let parts = if split { 2 } else { 1 };
        let steps = b.len() / (2 * parts * TILE);
        assert!(
            steps > 0 && b.len() == steps * 2 * parts * TILE && a.len() == steps * tiles * parts * TILE,
            "not a block of the kernel"
        );
        let (a, b, sums) = (a.as_ptr(), b.as_ptr(), sums.as_mut_ptr());
        // SAFETY: the assertion says that the operands hold the tiles of all steps and the sums two lines for each of 32 rows.
        unsafe {
            match (tiles, split) {
                (1, false) => one(a, b, sums, steps),
                (2, false) => two(a, b, sums, steps),
                (1, true) => one_split(a, b, sums, steps),
                (2, true) => two_split(a, b, sums, steps),
                _ => panic!("a strip of {tiles} tiles"),
            }
        }
    }
}

impl Drop for Configured {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the unit was configured on this thread, which the type cannot leave.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

fn has_instructions() -> bool {
    const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
        && __cpuid_count(0, 0).eax >= 7
        && __cpuid_count(7, 0).edx & TILES_AND_BF16 == TILES_AND_BF16
}

/// Asks the system for the state of the tiles (Linux: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`).
#[allow(unsafe_code)]
fn permitted() -> bool {
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

/// A kernel: the sums' tiles zeroed, a loop over the steps, the sums stored.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $rows:literal, $a_bytes:literal, $b_bytes:literal, [$($loop:literal),* $(,)?]) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The unit is configured, and the pointers are valid for the tiles of all steps, of which there is one.
        #[allow(unsafe_code)]
        unsafe fn $name(a: *const Line, b: *const Line, sums: *mut Line, steps: usize) {
            // SAFETY: loads and stores lie within what the caller vouches for.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    concat!(".if ", $rows, " > 1"),
                    "tilezero tmm2",
                    "tilezero tmm3",
                    ".endif",
                    "2:",
                    $($loop,)*
                    concat!("add {a}, ", $a_bytes),
                    concat!("add {b}, ", $b_bytes),
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {wide}], tmm0",
                    "tilestored [{sums} + {wide} + 64], tmm1",
                    concat!(".if ", $rows, " > 1"),
                    "tilestored [{sums} + {wide} + 2048], tmm2",
                    "tilestored [{sums} + {wide} + 2112], tmm3",
                    ".endif",
                    a = inout(reg) a => _,
                    b = inout(reg) b => _,
                    sums = in(reg) sums,
                    steps = inout(reg) steps => _,
                    line = in(reg) 64usize,
                    wide = in(reg) 128usize,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(
    /// Strips of two tiles.
    two, 2, 2048, 2048,
    [
        "tileloadd tmm4, [{a} + {line}]",
        "tileloadd tmm6, [{b} + {line}]",
        "tileloadd tmm7, [{b} + {line} + 1024]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm5, [{a} + {line} + 1024]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
    ]
);

kernel!(
    /// Strips of one tile.
    one, 1, 1024, 2048,
    [
        "tileloadd tmm4, [{a} + {line}]",
        "tileloadd tmm6, [{b} + {line}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{b} + {line} + 1024]",
        "tdpbf16ps tmm1, tmm4, tmm7",
    ]
);

kernel!(
    /// Strips of two tiles, split: high by low, high by high, low by high.
    two_split, 2, 4096, 4096,
    [
        "tileloadd tmm4, [{a} + {line}]",
        "tileloadd tmm6, [{b} + {line} + 2048]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{b} + {line} + 3072]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tileloadd tmm5, [{a} + {line} + 1024]",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tileloadd tmm6, [{b} + {line}]",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{b} + {line} + 1024]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tileloadd tmm4, [{a} + {line} + 2048]",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tileloadd tmm5, [{a} + {line} + 3072]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
    ]
);

kernel!(
    /// Strips of one tile, split: high by low, high by high, low by high.
    one_split, 1, 2048, 4096,
    [
        "tileloadd tmm4, [{a} + {line}]",
        "tileloadd tmm5, [{a} + {line} + 1024]",
        "tileloadd tmm6, [{b} + {line} + 2048]",
        "tileloadd tmm7, [{b} + {line} + 3072]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tileloadd tmm6, [{b} + {line}]",
        "tileloadd tmm7, [{b} + {line} + 1024]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm0, tmm5, tmm6",
        "tdpbf16ps tmm1, tmm5, tmm7",
    ]
);
