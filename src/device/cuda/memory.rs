//! Whose is which part of a device's memory?

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result};

use super::context::Cuda;
use super::element::{Element, Plain};
use crate::error::{Error, Result};

/// Every buffer begins at a multiple of this: what cuBLASLt's fastest kernels ask for.
const ALIGNMENT: usize = 256;

/// One allocation of device memory.
struct Memory {
    start: u64,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A device that has failed frees nothing, and there is nobody left to tell.
        let _ = self.context.bind_to_thread();
        // SAFETY: `Arena::new` got it from the driver, and the last buffer in it is gone. The driver
        // waits for the kernels that still use it.
        let _ = unsafe { result::free_sync(self.start) };
    }
}

/// Memory that is allocated once and handed out from front to back: what a batch takes is given back
/// all at once, so that no batch after the largest asks the driver for anything.
pub struct Arena {
    memory: Arc<Memory>,
    used: usize,
}

impl Arena {
    pub fn new(cuda: &Cuda, bytes: usize) -> Result<Self> {
        let context = cuda.context().clone();
        context.bind_to_thread().map_err(super::context::failed("use the device"))?;
        // The driver has no allocation of nothing.
        let bytes = bytes.max(ALIGNMENT);
        // SAFETY: the memory is read only after something was written; all values of `Plain` are
        // valid whatever it holds.
        let start = unsafe { result::malloc_sync(bytes) };
        let start = start.map_err(|error| cuda.allocation(bytes, error))?;
        Ok(Self { memory: Arc::new(Memory { start, bytes, context }), used: 0 })
    }

    /// Room for `len` values, which are what they happen to be.
    pub fn take<T: Plain>(&mut self, len: usize) -> Result<Buffer<T>> {
        let bytes = (len * size_of::<T>()).next_multiple_of(ALIGNMENT);
        let free = self.memory.bytes - self.used;
        if bytes > free {
            return Err(Error::Unavailable {
                what: format!("{bytes} bytes of an arena of {}", self.memory.bytes),
                remedy: format!("{free} are free; make a larger arena, or smaller batches"),
            });
        }
        let start = self.memory.start + self.used as u64;
        self.used += bytes;
        Ok(Buffer { memory: self.memory.clone(), start, len, values: PhantomData })
    }

    /// Room for `[n, d]` values.
    pub fn rows<T: Element>(&mut self, n: usize, d: usize) -> Result<DeviceRows<T>> {
        Ok(DeviceRows { data: self.take(n * d)?, n, d })
    }

    /// Takes everything back. What was launched before on the device's stream still finds its
    /// values, since what comes after waits for it.
    pub fn reset(&mut self) {
        assert_eq!(Arc::strong_count(&self.memory), 1, "a buffer outlives its batch");
        self.used = 0;
    }

    pub fn used_bytes(&self) -> usize {
        self.used
    }
}

/// `[len]` values in device memory, which stays allocated as long as they are.
pub struct Buffer<T> {
    memory: Arc<Memory>,
    start: u64,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it lies, for what runs on the stream of `cuda`.
    pub fn pointer(&self, cuda: &Cuda) -> u64 {
        assert!(Arc::ptr_eq(&self.memory.context, cuda.context()), "a buffer of another device");
        self.start
    }
}

/// `[n, d]` activations in device memory, row-major.
pub struct DeviceRows<T> {
    data: Buffer<T>,
    n: usize,
    d: usize,
}

impl<T: Element> DeviceRows<T> {
    /// data: `[n * d]`, row-major.
    pub fn new(data: Buffer<T>, d: usize) -> Self {
        assert!(d > 0 && data.len().is_multiple_of(d), "{} values are no rows of {d}", data.len());
        Self { n: data.len() / d, data, d }
    }

    pub fn n(&self) -> usize {
        self.n
    }

    pub fn d(&self) -> usize {
        self.d
    }

    /// All values: `[n * d]`, row-major.
    pub fn buffer(&self) -> &Buffer<T> {
        &self.data
    }

    pub(super) fn pointer(&self, cuda: &Cuda) -> u64 {
        self.data.pointer(cuda)
    }
}
