//! How do values come to a device and back?

use std::sync::Arc;

use cudarc::driver::{CudaContext, result};

use super::context::{Cuda, failed};
use super::element::{Element, Plain, Vector};
use super::memory::{Arena, Buffer, DeviceRows};
use crate::device::Rows;
use crate::error::{Error, Result};

/// Copies begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Page-locked memory of the host, from and to which a device copies while the host does other
/// things: from pageable memory the driver would copy twice and wait.
pub struct Staging {
    start: *mut u8,
    bytes: usize,
    /// Up to here an upload may still be reading.
    used: usize,
    context: Arc<CudaContext>,
}

// SAFETY: it is the only owner of its memory, which the driver lets any thread use.
unsafe impl Send for Staging {}

impl Staging {
    pub fn new(cuda: &Cuda, bytes: usize) -> Result<Self> {
        let context = cuda.context().clone();
        context.bind_to_thread().map_err(failed("use the device"))?;
        let bytes = bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        // SAFETY: the memory is written before it is read, by `upload` and by `download`.
        let start = unsafe { result::malloc_host(bytes, 0) };
        let start = start.map_err(|source| Error::Unavailable {
            what: format!("{bytes} bytes of page-locked memory"),
            remedy: format!(
                "the driver says {source}; free memory of the host, or lower the limit"
            ),
        })?;
        Ok(Self { start: start.cast(), bytes, used: 0, context })
    }

    /// Enqueues a copy to the device and returns before it is done. What is larger than the staging
    /// memory goes in pieces. values: `[to.len()]`.
    pub fn upload<T: Plain>(
        &mut self,
        cuda: &Cuda,
        values: &[T],
        to: &mut Buffer<T>,
    ) -> Result<()> {
        assert_eq!(values.len(), to.len(), "values for a buffer");
        let mut at = to.pointer(cuda);
        cuda.context().bind_to_thread().map_err(failed("use the device"))?;
        let mut bytes = as_bytes(values);
        while !bytes.is_empty() {
            if self.used == self.bytes {
                cuda.synchronize()?;
                self.used = 0;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(self.bytes - self.used));
            // SAFETY: `used + now.len()` is at most `bytes`; no copy that is on its way reads there,
            // since `used` goes back to 0 only after a synchronisation; and the device has room for
            // all of `values` from `to.pointer` on.
            unsafe {
                let staged = std::slice::from_raw_parts_mut(self.start.add(self.used), now.len());
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

    /// The values of `from`, after everything that was launched before.
    pub fn download<T: Plain>(&mut self, cuda: &Cuda, from: &Buffer<T>) -> Result<Vec<T>> {
        cuda.synchronize()?;
        self.used = 0;
        let (mut values, pointer) = (Vec::with_capacity(from.len()), from.pointer(cuda));
        let piece = self.bytes / size_of::<T>();
        while values.len() < from.len() {
            let n = piece.min(from.len() - values.len());
            let at = pointer + (values.len() * size_of::<T>()) as u64;
            // SAFETY: `n` values fit into the staging memory, which is aligned for any of them and
            // which nothing else uses after the synchronisation; the device has as many from `at`
            // on; any bits are a value; and they are read after the copy is done.
            unsafe {
                let staged = std::slice::from_raw_parts_mut(self.start.cast::<T>(), n);
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

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // Copies from it may be on their way, and what fails now has nobody left to tell.
        let _ = self.context.synchronize();
        // SAFETY: `Staging::new` got it from the driver, and nothing reads it any more.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}

/// values: `[any]`.
fn as_bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: a `Plain` has no padding, so every byte of it is a value.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
