//! Copies of any size between host and device, in pieces.
//!
//! A download waits for everything launched, so this is for weights and hidden states. Batches use
//! [`super::slot`].

use cudarc::driver::result;

use super::context::Cuda;
use super::element::{Element, Plain, Vector};
use super::error::failed;
use super::memory::{Arena, Buffer, DeviceRows};
use super::pinned::Pinned;
use crate::base::error::Result;
use crate::device::Rows;

/// Copies begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Page-locked memory for weights on their way to a device, and for hidden states on their way
/// back.
pub struct Staging {
    pinned: Pinned,
    /// Uploads may still be reading the bytes before this.
    used: usize,
}

impl Staging {
    pub fn new(cuda: &Cuda, bytes: usize) -> Result<Self> {
        Ok(Self { pinned: Pinned::new(cuda, bytes.next_multiple_of(ALIGNMENT))?, used: 0 })
    }

    /// Enqueues a copy to the device and returns before it is done. Values larger than the staging
    /// memory are copied in pieces. values: `[to.len()]`.
    pub fn upload<T: Plain>(
        &mut self,
        cuda: &Cuda,
        values: &[T],
        to: &mut Buffer<T>,
    ) -> Result<()> {
        assert_eq!(values.len(), to.len(), "values for a buffer");
        let mut at = to.pointer(cuda);
        cuda.bind()?;
        let mut bytes = as_bytes(values);
        while !bytes.is_empty() {
            if self.used == self.pinned.bytes() {
                cuda.synchronize()?;
                self.used = 0;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(self.pinned.bytes() - self.used));
            let staged = self.pinned.pointer(self.used, now.len());
            // SAFETY: `pointer` checked the room; no copy that is on its way reads there, since
            // `used` goes back to 0 only after a synchronisation; and the device has room for all
            // of `values` from `to.pointer` on.
            unsafe {
                let staged = std::slice::from_raw_parts_mut(staged, now.len());
                staged.copy_from_slice(now);
                result::memcpy_htod_async(at, staged, cuda.stream.cu_stream())
                    .map_err(failed("copy to the device"))?;
            }
            self.used = (self.used + now.len()).next_multiple_of(ALIGNMENT);
            at += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// The values of `from`, after everything launched before.
    pub fn download<T: Plain>(&mut self, cuda: &Cuda, from: &Buffer<T>) -> Result<Vec<T>> {
        cuda.synchronize()?;
        self.used = 0;
        let (mut values, pointer) = (Vec::with_capacity(from.len()), from.pointer(cuda));
        let piece = self.pinned.bytes() / size_of::<T>();
        while values.len() < from.len() {
            let n = piece.min(from.len() - values.len());
            let at = pointer + (values.len() * size_of::<T>()) as u64;
            // SAFETY: `pointer` checks the room, which nothing else uses after the synchronisation;
            // the device has `n` values from `at` on; any bits are a value; and they are read after
            // the copy is done.
            unsafe {
                let staged = std::slice::from_raw_parts_mut(self.pinned.pointer(0, n), n);
                result::memcpy_dtoh_async(staged, at, cuda.stream.cu_stream())
                    .map_err(failed("copy from the device"))?;
                cuda.synchronize()?;
                values.extend_from_slice(staged);
            }
        }
        Ok(values)
    }

    /// A buffer of `arena` with these values. values: `[any]`.
    pub fn place<T: Plain>(
        &mut self,
        cuda: &Cuda,
        arena: &mut Arena,
        values: &[T],
    ) -> Result<Buffer<T>> {
        let mut buffer = arena.take(values.len())?;
        self.upload(cuda, values, &mut buffer)?;
        Ok(buffer)
    }

    /// The nearest values of `T` to `rows`: `[n, d]`.
    pub fn place_rows<T: Element>(
        &mut self,
        cuda: &Cuda,
        arena: &mut Arena,
        rows: &Rows,
    ) -> Result<DeviceRows<T>> {
        let values: Vec<T> = rows.as_slice().iter().map(|value| T::from_f32(*value)).collect();
        Ok(DeviceRows::new(self.place(cuda, arena, &values)?, rows.d()))
    }

    /// `[n, d]`, as f32.
    pub fn download_rows<T: Vector>(&mut self, cuda: &Cuda, rows: &DeviceRows<T>) -> Result<Rows> {
        let values = match rows.buffer() {
            Some(buffer) => self.download(cuda, &buffer)?,
            None => Vec::new(),
        };
        Ok(Rows::new(values.into_iter().map(T::to_f32).collect(), rows.d()))
    }
}

/// values: `[any]`.
fn as_bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: a `Plain` has no padding, so every byte of it is a value.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
