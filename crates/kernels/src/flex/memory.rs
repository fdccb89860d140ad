//! Memory of results that are gone, kept for results to come. Beside the choice of instruction sets (`simd!`), the only
//! module of this crate that needs `unsafe`.
//!
//! Every step asks for the same sizes as the step before. Memory that is given back to the system comes again page by
//! page, each cleared first: beside products on a matrix unit, that is a sixth of the time. What is kept here is hardly
//! more than what the results have needed at one time.

use std::collections::VecDeque;
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType, Shape, TensorData};
use cubecl_environment::bytes::{AccessError, AccessPolicy, AllocationController, AllocationProperty};

/// Fewer values than this are left to the allocator.
const WORTH_KEEPING: usize = 1 << 14;

/// The part of what was used at one time that may be kept beyond it,
const SPARE: usize = 4;

/// and the most values that may: 256 MiB.
const MOST_SPARE: usize = 1 << 26;

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Buffers that nobody uses, the one that was given back first in front.
struct Pool {
    free: VecDeque<Vec<f32>>,
    free_values: usize,
    used_values: usize,
    /// Most values that were used at one time.
    most_used: usize,
}

impl Pool {
    const fn new() -> Self {
        Self { free: VecDeque::new(), free_values: 0, used_values: 0, most_used: 0 }
    }

    /// The smallest buffer with at least `length` values, unless half of it or more would lie idle. Whatever its values
    /// are, they mean nothing.
    fn take(&mut self, length: usize) -> Vec<f32> {
        let fitting = self.free.iter().map(Vec::len).enumerate();
        let fitting = fitting.filter(|&(_, available)| (length..2 * length).contains(&available));
        let place = fitting.min_by_key(|&(_, available)| available).map(|(place, _)| place);
        let values = place.and_then(|place| self.free.remove(place)).inspect(|values| {
            self.free_values -= values.len();
        });
        self.used_values += values.as_ref().map_or(length, Vec::len);
        self.most_used = self.most_used.max(self.used_values);
        let spare = (self.most_used / SPARE).min(MOST_SPARE);
        while self.free_values + self.used_values > self.most_used + spare {
            let Some(oldest) = self.free.pop_front() else { break };
            self.free_values -= oldest.len();
        }
        values.unwrap_or_else(|| vec![0.0; length])
    }

    /// Keeps nothing of what was before.
    fn release(&mut self) {
        self.free.clear();
        self.free_values = 0;
        self.most_used = self.used_values;
    }

    fn give_back(&mut self, values: Vec<f32>) {
        self.used_values -= values.len();
        self.free_values += values.len();
        self.free.push_back(values);
    }
}

/// Gives back what nobody uses: see [`crate::release_memory`].
pub(crate) fn release() {
    POOL.lock().unwrap_or_else(PoisonError::into_inner).release();
    close_gaps();
}

/// Gives the system what is free between allocations that live on: glibc keeps the gaps that large tensors leave in its
/// heap, and whatever is larger than them is taken from the system anew.
fn close_gaps() {
    // SAFETY: the allocator locks what it walks through, and touches free memory only.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Values of a result in the making.
pub(super) struct Buffer {
    values: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// Values that mean nothing: whoever takes them writes all of them.
    pub(super) fn of(length: usize) -> Self {
        let values = match length < WORTH_KEEPING {
            true => vec![0.0; length],
            false => POOL.lock().unwrap_or_else(PoisonError::into_inner).take(length),
        };
        Self { values, length }
    }

    pub(super) fn zeros(length: usize) -> Self {
        let mut buffer = Self::of(length);
        buffer.fill(0.0);
        buffer
    }

    /// The tensor of these values, which come back when its last holder lets go of it.
    pub(super) fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        let bytes = self.length * size_of::<f32>();
        // SAFETY: the controller's memory is that of so many initialised bytes.
        #[allow(unsafe_code)]
        let bytes = unsafe { Bytes::from_controller(Box::new(Held(self)), bytes) };
        FlexTensor::from_data(TensorData::from_bytes(bytes, shape, DType::F32))
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.length >= WORTH_KEEPING {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).give_back(mem::take(&mut self.values));
        }
    }
}

/// A buffer as the memory of a tensor.
struct Held(Buffer);

impl AllocationController for Held {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val::<[f32]>(&self.0);
        // SAFETY: these are the bytes of the buffer, which is borrowed as long as the slice lives. The caller promises to
        // write initialised bytes only, all of which are numbers.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val::<[f32]>(&self.0);
        // SAFETY: these are the bytes of the buffer, which is borrowed as long as the slice lives.
        #[allow(unsafe_code)]
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_fits_is_taken_again() {
        let mut pool = Pool::new();
        let [six, seven] = [6, 7].map(|length| pool.take(length));
        pool.give_back(seven);
        pool.give_back(six);
        assert_eq!([4, 4].map(|length| pool.take(length).len()), [6, 7]);
        assert_eq!((pool.used_values, pool.free_values, pool.most_used), (13, 0, 13));
    }

    #[test]
    fn what_is_too_large_stays() {
        let mut pool = Pool::new();
        let eight = pool.take(8);
        pool.give_back(eight);
        assert_eq!(pool.take(4).len(), 4);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut pool = Pool::new();
        let buffers = [2, 30, 8].map(|length| pool.take(length));
        buffers.into_iter().for_each(|buffer| pool.give_back(buffer));
        // 40 were used at one time, so that 50 may be held.
        assert_eq!(pool.take(15).len(), 15);
        assert_eq!(pool.free, [vec![0.0; 8]]);
    }

    #[test]
    fn what_is_released_is_not_taken_again() {
        let mut pool = Pool::new();
        let [eight, nine] = [8, 9].map(|length| pool.take(length));
        pool.give_back(nine);
        pool.release();
        assert_eq!((pool.free.len(), pool.free_values, pool.used_values, pool.most_used), (0, 0, 8, 8));
        assert_eq!(pool.take(5).len(), 5);
        pool.give_back(eight);
        assert_eq!(pool.take(7).len(), 8);
    }

    #[test]
    fn tensors_hold_their_values_and_copies_are_their_own() {
        let mut buffer = Buffer::of(WORTH_KEEPING);
        buffer.iter_mut().enumerate().for_each(|(index, value)| *value = index as f32);
        let mut tensor = buffer.into_tensor([2, WORTH_KEEPING / 2]);
        let kept = tensor.clone();
        tensor.storage_mut::<f32>()[1] = -1.0;
        assert_eq!((kept.storage::<f32>()[1], tensor.storage::<f32>()[1]), (1.0, -1.0));
        let values: Vec<f32> = kept.into_data().try_to_vec().unwrap();
        assert!(values.iter().enumerate().all(|(index, &value)| value == index as f32));
    }
}
