//! The functions of FAISS on a GPU, which are in a library that is loaded with the first index.
//!
//! `kernels/faiss` is the other side of these calls, `kernels/host/faiss.cpp` the same on the CPU.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::CUstream;

use crate::base::error::{Error, Result};
use crate::device::Neighbors;
use crate::device::cuda::{Cuda, DeviceRows, as_int, between_records};

/// Beside the executable, or where the system looks for libraries.
const LIBRARY: &str = "libcodeintel_faiss.so";

/// The length of the error message that the library writes, at most.
const MESSAGE_BYTES: usize = 512;

// SAFETY: callers pass a handle of `Open` that is not closed, and pointers as kernels/faiss/flat.cu
// expects them.
type Open =
    unsafe extern "C" fn(c_int, CUstream, usize, *mut *mut c_void, *mut c_char, usize) -> c_int;
// SAFETY: as above.
type Search = unsafe extern "C" fn(
    *mut c_void,
    u64,
    i64,
    c_int,
    u64,
    i64,
    i64,
    u64,
    u64,
    *mut c_char,
    usize,
) -> c_int;
// SAFETY: as above.
type Close = unsafe extern "C" fn(*mut c_void);

/// The functions of `kernels/faiss/flat.cu`.
pub(super) struct Library {
    open: Open,
    search: Search,
    close: Close,
}

impl Library {
    /// Loaded once, and kept until the process ends.
    pub fn get() -> Result<&'static Self> {
        static LOADED: OnceLock<Result<Library, libloading::Error>> = OnceLock::new();
        LOADED.get_or_init(Self::load).as_ref().map_err(|error| Error::Unavailable {
            what: format!("{LIBRARY}, with which a GPU searches vectors,"),
            remedy: format!(
                "{}; `make gpu` builds it beside the release binary; elsewhere, put its folder and \
                 that of libcublas.so.13 into LD_LIBRARY_PATH",
                // The loader's own message.
                error.source().unwrap_or(error)
            ),
        })
    }

    fn load() -> Result<Self, libloading::Error> {
        // SAFETY: loading it initialises FAISS and CUDA's runtime, which is what it is for; the
        // types are those of its functions, and it is never unloaded.
        unsafe {
            let library = std::mem::ManuallyDrop::new(libloading::Library::new(LIBRARY)?);
            Ok(Self {
                open: *library.get(b"codeintel_faiss_open\0")?,
                search: *library.get(b"codeintel_faiss_search\0")?,
                close: *library.get(b"codeintel_faiss_close\0")?,
            })
        }
    }
}

/// FAISS on the stream of one device, for one search at a time.
pub(super) struct Faiss {
    library: &'static Library,
    /// What the library calls this by.
    handle: *mut c_void,
    cuda: Arc<Cuda>,
}

// SAFETY: the handle belongs to a device, not to a thread.
unsafe impl Send for Faiss {}

impl Faiss {
    /// temp_bytes: device memory for the scores of a search, taken now.
    pub fn open(library: &'static Library, cuda: &Arc<Cuda>, temp_bytes: usize) -> Result<Self> {
        let mut handle = std::ptr::null_mut();
        let (device, stream) = (as_int(cuda.ordinal()), cuda.stream());
        let _alone = between_records();
        checked(cuda, "prepare searches on the device", |message| {
            // SAFETY: the parameters of kernels/faiss/flat.cu; the stream lives as long as `cuda`,
            // which `Faiss` keeps.
            unsafe {
                (library.open)(device, stream, temp_bytes, &mut handle, message, MESSAGE_BYTES)
            }
        })?;
        Ok(Self { library, handle, cuda: cuda.clone() })
    }

    /// Enqueues a search for the `k` best of `all` for each of `rows` of `queries`. all: `[n, d]`;
    /// queries: `[any, d]`; neighbors becomes `[rows.len(), k]`.
    pub fn search(
        &self,
        all: &DeviceRows<f32>,
        queries: &DeviceRows<f32>,
        rows: Range<usize>,
        k: usize,
        neighbors: &mut Neighbors,
    ) -> Result<()> {
        let (cuda, d) = (&self.cuda, queries.d());
        assert!(rows.start <= rows.end && rows.end <= queries.n(), "{rows:?} of {}", queries.n());
        assert!(all.n() == 0 || all.d() == d, "queries of {d} values, rows of {}", all.d());
        neighbors.scores.resize_or_grow(cuda, rows.len(), k)?;
        neighbors.ids.resize_or_grow(cuda, rows.len(), k)?;
        let first_query = queries.row_pointer(cuda, rows.start);
        let (scores, ids) = (neighbors.scores.pointer(cuda), neighbors.ids.pointer(cuda));
        let (n, nq, k) = (all.n() as i64, rows.len() as i64, k as i64);
        let (all, d) = (all.pointer(cuda), as_int(d));
        checked(cuda, "search on the device", |message| {
            let search = self.library.search;
            // SAFETY: the handle is open; the queries were checked, and the result has its room.
            unsafe {
                search(
                    self.handle,
                    all,
                    n,
                    d,
                    first_query,
                    nq,
                    k,
                    scores,
                    ids,
                    message,
                    MESSAGE_BYTES,
                )
            }
        })
    }
}

impl Drop for Faiss {
    fn drop(&mut self) {
        let _alone = between_records();
        // SAFETY: the handle is open, and nothing uses it any more.
        unsafe { (self.library.close)(self.handle) };
    }
}

/// Calls the library with room for an error message. If the device was lost, that is the error.
fn checked(
    cuda: &Cuda,
    action: &'static str,
    call: impl FnOnce(*mut c_char) -> c_int,
) -> Result<()> {
    let mut message = [0; MESSAGE_BYTES];
    if call(message.as_mut_ptr().cast()) == 0 {
        return Ok(());
    }
    cuda.synchronize()?;
    let message = CStr::from_bytes_until_nul(&message).unwrap_or_default().to_string_lossy();
    Err(Error::library("FAISS", action)(message.into_owned()))
}
