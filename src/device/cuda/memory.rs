//! Which allocation owns which part of device memory.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaStream, result, sys};

use super::budget::Reservation;
use super::capture::between_records;
use super::context::Cuda;
use super::element::Plain;
use super::error::failed;
use crate::base::error::{Error, Result};

/// Every buffer begins at a multiple of this, which the fastest kernels of cuBLASLt require.
const ALIGNMENT: usize = 256;

/// Rows are reserved in multiples of this, so that batches that grow little by little do not call
/// the driver each time.
const ROWS_STEP: usize = 256;

/// One allocation of device memory.
struct Memory {
    start: u64,
    bytes: usize,
    stream: Arc<CudaStream>,
    _reservation: Reservation,
}

impl Memory {
    /// `None` if so much is not free, or may not be taken.
    fn new(cuda: &Cuda, bytes: usize) -> Result<Option<Self>> {
        cuda.bind()?;
        // The driver refuses an allocation of 0 bytes.
        let bytes = bytes.max(ALIGNMENT);
        let Some(reservation) = cuda.budget.reserve(bytes) else { return Ok(None) };
        // SAFETY: the memory may hold anything: all bits are valid values of `Plain`.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(start) => {
                let stream = cuda.stream.clone();
                Ok(Some(Self { start, bytes, stream, _reservation: reservation }))
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(error) => Err(failed("allocate memory")(error)),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // All batches in flight may use it. A failed device frees nothing, and there is nobody to
        // report that to.
        let _ = self.stream.synchronize();
        let _alone = between_records();
        // SAFETY: `Memory::new` got it from the driver, the last buffer in it is gone, and
        // everything launched is done.
        let _ = unsafe { result::free_sync(self.start) };
    }
}

/// Memory that is allocated once and handed out from front to back. The buffers of a batch are
/// taken back all at once, so that no batch after the largest calls the driver.
pub struct Arena {
    memory: Arc<Memory>,
    used: usize,
}

impl Arena {
    pub fn new(cuda: &Cuda, bytes: usize) -> Result<Self> {
        let memory = Memory::new(cuda, bytes)?.ok_or_else(|| cuda.no_room(bytes))?;
        Ok(Self { memory: Arc::new(memory), used: 0 })
    }

    /// The bytes of an arena for buffers of these sizes, each in bytes.
    pub fn bytes_of(sizes: &[usize]) -> usize {
        sizes.iter().map(|bytes| bytes.next_multiple_of(ALIGNMENT)).sum()
    }

    /// Takes everything back, as [`Arena::reset`] does, and has `bytes` for a batch of `tokens`.
    /// Whether the memory has moved.
    pub fn reset_for(&mut self, cuda: &Cuda, tokens: usize, bytes: usize) -> Result<bool> {
        self.reset();
        let grows = self.memory.bytes < bytes;
        if grows {
            let bytes = bytes.next_power_of_two();
            let memory = Memory::new(cuda, bytes)?;
            self.memory = Arc::new(memory.ok_or(Error::OutOfMemory { tokens, bytes })?);
        }
        Ok(grows)
    }

    /// A buffer of `len` uninitialised values.
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

    /// Takes everything back. Earlier launches on the device's stream still read their values,
    /// since later ones wait for them.
    pub fn reset(&mut self) {
        assert_eq!(Arc::strong_count(&self.memory), 1, "a buffer outlives its batch");
        self.used = 0;
    }

    pub fn used_bytes(&self) -> usize {
        self.used
    }

    /// The address of byte `at`, for launches on the stream of `cuda`.
    pub(super) fn pointer(&self, cuda: &Cuda, at: usize) -> u64 {
        assert!(Arc::ptr_eq(&self.memory.stream, &cuda.stream), "an arena of another device");
        self.memory.start + at as u64
    }
}

/// `[len]` values in device memory, which stays allocated as long as this lives.
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

    /// The address, for launches on the stream of `cuda`.
    pub fn pointer(&self, cuda: &Cuda) -> u64 {
        assert!(Arc::ptr_eq(&self.memory.stream, &cuda.stream), "a buffer of another device");
        self.start
    }
}

/// `[n, d]` values in device memory, row-major. Reserved once and resized from batch to batch.
pub struct DeviceRows<T> {
    /// At least `n * d` values, once memory is reserved.
    data: Option<Buffer<T>>,
    n: usize,
    d: usize,
}

impl<T> Default for DeviceRows<T> {
    fn default() -> Self {
        Self { data: None, n: 0, d: 0 }
    }
}

impl<T: Plain> DeviceRows<T> {
    /// data: `[n * d]`, row-major.
    pub fn new(data: Buffer<T>, d: usize) -> Self {
        assert!(d > 0 && data.len().is_multiple_of(d), "{} values are no rows of {d}", data.len());
        Self { n: data.len() / d, data: Some(data), d }
    }

    /// Takes the memory of `[n, d]`; an error if there is not enough. Whether the memory has moved:
    /// then the values are lost, once earlier launches are done with them.
    pub fn reserve(&mut self, cuda: &Cuda, n: usize, d: usize) -> Result<bool> {
        let grows = n * d > self.capacity();
        if grows {
            *self = Self::default();
            let len = n.next_multiple_of(ROWS_STEP) * d;
            let bytes = len * size_of::<T>();
            let memory =
                Memory::new(cuda, bytes)?.ok_or(Error::OutOfMemory { tokens: n, bytes })?;
            let start = memory.start;
            self.data = Some(Buffer { memory: Arc::new(memory), start, len, values: PhantomData });
        }
        Ok(grows)
    }

    /// Becomes `[n, d]`, and takes more memory if needed. For rows outside a batch; those of a
    /// batch take theirs by [`DeviceRows::reserve`].
    pub fn resize_or_grow(&mut self, cuda: &Cuda, n: usize, d: usize) -> Result<()> {
        self.reserve(cuda, n, d).map_err(|error| match error {
            Error::OutOfMemory { bytes, .. } => cuda.no_room(bytes),
            error => error,
        })?;
        self.resize(n, d);
        Ok(())
    }

    /// Becomes `[n, d]`, whose memory is reserved; the values are undefined.
    pub fn resize(&mut self, n: usize, d: usize) {
        assert!(n * d <= self.capacity(), "[{n}, {d}] in room for {} values", self.capacity());
        (self.n, self.d) = (n, d);
    }

    fn capacity(&self) -> usize {
        self.data.as_ref().map_or(0, Buffer::len)
    }

    pub fn n(&self) -> usize {
        self.n
    }

    pub fn d(&self) -> usize {
        self.d
    }

    /// All values: `[n * d]`, row-major; `None` if no memory was reserved, so that there are none.
    pub fn buffer(&self) -> Option<Buffer<T>> {
        let len = self.n * self.d;
        let part = |data: &Buffer<T>| Buffer { memory: data.memory.clone(), len, ..*data };
        self.data.as_ref().map(part)
    }

    /// Enqueues a copy of rows of the host behind the last row, where memory is reserved for them.
    /// values: `[any, d]`.
    pub(crate) fn append(&mut self, cuda: &Cuda, values: &[T]) -> Result<()> {
        let n = self.n;
        self.resize(n + values.len() / self.d, self.d);
        cuda.bind()?;
        // SAFETY: `resize` checked the room for the rows from `n` on, where nothing reads; pageable
        // memory is read before the call returns.
        unsafe { result::memcpy_htod_async(self.row_pointer(cuda, n), values, cuda.stream()) }
            .map_err(failed("copy rows to the device"))
    }

    pub(crate) fn pointer(&self, cuda: &Cuda) -> u64 {
        self.data.as_ref().map_or(0, |data| data.pointer(cuda))
    }

    /// The address of row `i`.
    pub(crate) fn row_pointer(&self, cuda: &Cuda, i: usize) -> u64 {
        self.pointer(cuda) + (i * self.d * size_of::<T>()) as u64
    }
}
