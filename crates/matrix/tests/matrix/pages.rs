//! Operands and results that end where memory ends, or start where it starts: a kernel that reads or writes one
//! value beyond them ends the process.

use regulus_matrix::{
    Kernels, MatrixMut, Packed, Precision, Settings, Threads, product, product_masked, product_packed,
};

use crate::operands::{Layout, values};

/// Some pages between two that may not be touched.
#[allow(unsafe_code)]
mod guarded {
    const PAGE: usize = 4096;

    pub struct Pages {
        start: *mut u8,
        length: usize,
    }

    impl Pages {
        pub fn new(values: usize) -> Self {
            let length = (values * 4).next_multiple_of(PAGE);
            // SAFETY: a private anonymous mapping touches no other memory; the part that becomes accessible lies
            // within it.
            let start = unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let start =
                    libc::mmap(std::ptr::null_mut(), length + 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
                assert_ne!(start, libc::MAP_FAILED);
                let start = start.cast::<u8>();
                let access = libc::PROT_READ | libc::PROT_WRITE;
                assert_eq!(libc::mprotect(start.add(PAGE).cast(), length, access), 0);
                start
            };
            Self { start, length }
        }

        /// The first or the last `count` values of the accessible pages.
        pub fn values(&mut self, count: usize, at_end: bool) -> &mut [f32] {
            assert!(count * 4 <= self.length);
            let offset = PAGE + if at_end { self.length - count * 4 } else { 0 };
            // SAFETY: the values lie within the accessible pages, which are zeroed and borrowed with `self`.
            unsafe { std::slice::from_raw_parts_mut(self.start.add(offset).cast(), count) }
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: the mapping was made by `new` and no borrow of it is left.
            unsafe { libc::munmap(self.start.cast(), self.length + 2 * PAGE) };
        }
    }
}

pub use guarded::Pages;

fn check(at_end: bool) {
    let layouts = [
        Layout::PLAIN,
        Layout::TURNED,
        Layout { transposed: false, gap: 5, spread: 1 },
        Layout { transposed: true, gap: 3, spread: 2 },
    ];
    let sides = [1, 2, 5, 13, 14, 15, 16, 17, 31, 33, 77];
    let depths = [1, 2, 15, 16, 17, 31, 33, 70, 257];
    for (i, &rows) in sides.iter().enumerate() {
        for (j, &columns) in sides.iter().enumerate() {
            for (k, &depth) in depths.iter().enumerate() {
                let (a, b) = (layouts[(i + k) % 4], layouts[(j + k + i / 4) % 4]);
                one((rows, columns, depth), a, b, at_end, (i + j + k) % 8 == 0);
            }
        }
    }
    for (i, a) in layouts.into_iter().enumerate() {
        one((197, 197, 64), a, layouts[i ^ 1], at_end, false);
        one((300, 100, 600), a, layouts[3 - i], at_end, false);
    }
}

fn one(shape: (usize, usize, usize), a: Layout, b: Layout, at_end: bool, emulate: bool) {
    let (rows, columns, depth) = shape;
    let (a_length, b_length) = (a.length(rows, depth), b.length(depth, columns));
    let stride = columns + 2;
    let out_length = (rows - 1) * stride + columns;
    let (mut a_pages, mut b_pages) = (Pages::new(a_length), Pages::new(b_length));
    let mut out_pages = Pages::new(out_length);
    a_pages.values(a_length, at_end).copy_from_slice(&values(a_length, 1));
    b_pages.values(b_length, at_end).copy_from_slice(&values(b_length, 2));
    let a = a.matrix(a_pages.values(a_length, at_end), rows, depth);
    let b = b.matrix(b_pages.values(b_length, at_end), depth, columns);
    let words = vec![u64::MAX; (depth * columns).div_ceil(64)];
    for precision in Precision::ALL {
        for kernels in [Kernels::Native, Kernels::Portable] {
            if kernels == Kernels::Portable && precision != Precision::F32 && !emulate {
                continue;
            }
            let settings =
                Settings { accumulate: true, threads: Threads::This, kernels, ..Settings::default() };
            let out = out_pages.values(out_length, at_end);
            out.fill(0.0);
            product(MatrixMut::new(out, rows, columns, stride), a, b, precision, &settings);
            product_masked(MatrixMut::new(out, rows, columns, stride), a, b, &words, precision, &settings);
            let packed = Packed::with_kernels(b, precision, kernels);
            let subtract = Settings { factor: -2.0, ..settings };
            product_packed(MatrixMut::new(out, rows, columns, stride), a, &packed, &subtract);
            for row in out.chunks(stride) {
                assert!(
                    row[..columns].iter().all(|value| value.abs() < 1e-4),
                    "{shape:?} {precision} {kernels:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_beyond_the_end_is_touched() {
    check(true);
}

#[test]
fn nothing_before_the_start_is_touched() {
    check(false);
}
