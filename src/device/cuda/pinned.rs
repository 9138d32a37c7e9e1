//! Page-locked memory of the host.

use std::sync::Arc;

use cudarc::driver::{CudaStream, result};

use super::capture::between_records;
use super::context::Cuda;
use super::element::Plain;
use crate::base::error::{Error, Result};

/// Page-locked memory of the host, which a device copies from and to while the host does other
/// work. With pageable memory the driver would copy twice and wait.
///
/// It does not know which copies are in flight: the owner writes and reads only where there are
/// none.
pub struct Pinned {
    start: *mut u8,
    bytes: usize,
    stream: Arc<CudaStream>,
}

// SAFETY: it is the only owner of its memory, which the driver lets any thread use.
unsafe impl Send for Pinned {}

impl Pinned {
    pub fn new(cuda: &Cuda, bytes: usize) -> Result<Self> {
        cuda.bind()?;
        // The driver refuses an allocation of 0 bytes.
        let bytes = bytes.max(1);
        let _alone = between_records();
        // SAFETY: the memory is written below, before anything reads it.
        let start = unsafe { result::malloc_host(bytes, 0) };
        let start: *mut u8 = start
            .map_err(|source| Error::Unavailable {
                what: format!("{bytes} bytes of page-locked memory"),
                remedy: format!(
                    "the driver says {source}; free memory of the host, or lower the limit"
                ),
            })?
            .cast();
        // SAFETY: `bytes` were allocated.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, stream: cuda.stream.clone() })
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of `len` values from byte `at` on.
    pub fn pointer<T: Plain>(&self, at: usize, len: usize) -> *mut T {
        let end = at + len * size_of::<T>();
        assert!(end <= self.bytes && at.is_multiple_of(align_of::<T>()), "{at}..{end}");
        // SAFETY: it lies within the allocation, which was checked above.
        unsafe { self.start.add(at).cast() }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Copies from or to it may be in flight. There is nobody to report a failure to.
        let _ = self.stream.synchronize();
        let _alone = between_records();
        // SAFETY: `Pinned::new` got it from the driver, and nothing uses it any more.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}
