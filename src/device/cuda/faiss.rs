//! Which of the rows in a device's memory are nearest to others?
//!
//! [`nearest`] says it for one or a few queries, FAISS for more: in a library of its own that is loaded
//! when the first index is made. `kernels/faiss` is its side of the calls, `kernels/host/faiss.cpp` the
//! same on the CPU. What goes in and what comes out stays on the device.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys::CUstream;

use super::context::{Cuda, failed};
use super::graph::between_records;
use super::matmul::WORKSPACE_BYTES;
use super::memory::DeviceRows;
use super::nearest;
use super::rows::int;
use crate::base::error::{Error, Result};

#[cfg(test)]
mod tests;

/// Beside the executable, or where the system looks for libraries.
const LIBRARY: &str = "libcodeintel_faiss.so";

/// Memory of one index for the scores of a search: at the most what FAISS takes for 512 queries at a
/// time, however many rows there are, and this part of the device's memory.
const TEMP_BYTES_MAX: usize = 1280 << 20;
const TEMP_SHARE: usize = 32;

/// Of the error's text that the library writes.
const TEXT_BYTES: usize = 512;

// SAFETY: whoever calls these has a handle of `Open` that is not closed, and pointers as
// kernels/faiss/flat.cu wants them.
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
struct Faiss {
    open: Open,
    search: Search,
    close: Close,
}

impl Faiss {
    /// Loaded once, for as long as the process lives.
    fn get() -> Result<&'static Self> {
        static FAISS: OnceLock<Result<Faiss, libloading::Error>> = OnceLock::new();
        FAISS.get_or_init(Self::load).as_ref().map_err(|error| Error::Unavailable {
            what: format!("{LIBRARY}, with which a GPU searches vectors,"),
            remedy: format!(
                "{}; `make gpu` builds it beside the release binary; elsewhere, put its folder and \
                 that of libcublas.so.13 into LD_LIBRARY_PATH",
                // What the loader says.
                error.source().unwrap_or(error)
            ),
        })
    }

    fn load() -> Result<Self, libloading::Error> {
        // SAFETY: loading it initialises FAISS and CUDA's runtime, which is what it is for; the types
        // are those of its functions, and it is never unloaded.
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

/// What one search at a time uses.
struct Shared {
    /// What the library knows an index by.
    handle: *mut c_void,
    /// Of [`nearest::scan`].
    keys: [DeviceRows<u64>; 2],
}

// SAFETY: the handle belongs to a device, not to a thread.
unsafe impl Send for Shared {}

/// Rows in the memory of a device, of which the nearest by inner product are found: by FAISS for many
/// queries at a time, by a kernel of our own for one or a few.
pub struct FlatIndex {
    faiss: &'static Faiss,
    shared: Mutex<Shared>,
    cuda: Arc<Cuda>,
    /// `[n, d]`, with memory for `rows_max` of them.
    rows: DeviceRows<f32>,
    rows_max: usize,
    /// What FAISS takes beside the rows.
    bytes: usize,
}

impl FlatIndex {
    /// The most rows that FAISS finds for one query on a GPU.
    pub const K_MAX: usize = 2048;

    /// An index without rows, for up to `rows_max` of `d` values. Their memory, and that of every
    /// search, is taken here.
    pub fn new(cuda: &Arc<Cuda>, d: usize, rows_max: usize) -> Result<Self> {
        assert!(d > 0, "rows without values");
        let faiss = Faiss::get()?;
        let mut rows = DeviceRows::default();
        let row_bytes = rows_max.saturating_mul(d * size_of::<f32>());
        let memory = cuda.memory()?;
        let temp_bytes = TEMP_BYTES_MAX.min(memory.total_bytes as usize / TEMP_SHARE);
        // cuBLAS has a workspace of its own.
        let bytes = temp_bytes + WORKSPACE_BYTES;
        let all = row_bytes.saturating_add(bytes);
        if all as u64 > memory.total_bytes - memory.used_bytes || !cuda.budget.take(bytes) {
            return Err(cuda.no_room(all));
        }
        let made = rows.make(cuda, rows_max, d).and_then(|()| {
            let mut handle = std::ptr::null_mut();
            let (device, stream) = (int(cuda.context().ordinal()), cuda.stream.cu_stream());
            let _alone = between_records();
            told(cuda, "prepare searches on the device", |text| {
                // SAFETY: the parameters of kernels/faiss/flat.cu; the stream lives as long as `cuda`,
                // which the index keeps.
                unsafe { (faiss.open)(device, stream, temp_bytes, &mut handle, text, TEXT_BYTES) }
            })?;
            Ok(handle)
        });
        if made.is_err() {
            cuda.budget.give_back(bytes);
        }
        let shared = Mutex::new(Shared { handle: made?, keys: Default::default() });
        rows.resize(0, d);
        Ok(Self { faiss, shared, cuda: cuda.clone(), rows, rows_max, bytes })
    }

    pub fn n(&self) -> usize {
        self.rows.n()
    }

    pub fn d(&self) -> usize {
        self.rows.d()
    }

    /// Appends `[n, d]` rows of the host.
    pub fn add(&mut self, rows: &[f32]) -> Result<()> {
        let expected = rows.len().next_multiple_of(self.d());
        self.check_values("rows for a FAISS index", expected, rows.len())?;
        let to = self.grow(rows.len() / self.d())?;
        // SAFETY: there is room for the rows from `to` on, where no search reads; pageable memory is
        // read before the call returns.
        unsafe { result::memcpy_htod_async(to, rows, self.cuda.stream.cu_stream()) }
            .map_err(failed("copy rows to the device"))
    }

    /// Appends rows that lie on the device, without a copy through the host.
    pub fn add_device(&mut self, rows: &DeviceRows<f32>) -> Result<()> {
        self.check_values("rows for a FAISS index", self.d(), rows.d())?;
        let to = self.grow(rows.n())?;
        let (from, bytes) = (rows.pointer(&self.cuda), rows.n() * rows.d() * size_of::<f32>());
        // SAFETY: there are so many bytes of rows, and room for them from `to` on.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.cuda.stream.cu_stream()) }
            .map_err(failed("copy rows on the device"))
    }

    /// Where `n` more rows go.
    fn grow(&mut self, n: usize) -> Result<u64> {
        let (before, d) = (self.n(), self.d());
        let free = self.rows_max - before;
        if n > free {
            let expected =
                format!("at most {free} more, since the index was made for {}", self.rows_max);
            return Err(Error::Argument { name: "rows", value: n.to_string(), expected });
        }
        self.cuda.context().bind_to_thread().map_err(failed("use the device"))?;
        self.rows.resize(before + n, d);
        Ok(self.rows.pointer(&self.cuda) + (before * d * size_of::<f32>()) as u64)
    }

    /// The nearest `k` rows of each of `rows` of `queries`, best first: enqueued on the device's
    /// stream. queries: `[any, d]`; found becomes `[rows.len(), k]`.
    pub fn search(
        &self,
        queries: &DeviceRows<f32>,
        rows: Range<usize>,
        k: usize,
        found: &mut Nearest,
    ) -> Result<()> {
        let d = self.d();
        self.check_values("queries of a FAISS index", d, queries.d())?;
        assert!(rows.start <= rows.end && rows.end <= queries.n(), "{rows:?} of {}", queries.n());
        if !(1..=Self::K_MAX).contains(&k) {
            let expected = format!("1 to {} on a GPU", Self::K_MAX);
            return Err(Error::Argument { name: "k", value: k.to_string(), expected });
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if nearest::takes(rows.len(), k, d) {
            let (cuda, all) = (&self.cuda, &self.rows);
            return nearest::scan(cuda, all, queries, rows, k, &mut shared.keys, found);
        }
        found.scores.make(&self.cuda, rows.len(), k)?;
        found.ids.make(&self.cuda, rows.len(), k)?;
        let first = queries.pointer(&self.cuda) + (rows.start * d * size_of::<f32>()) as u64;
        let (scores, ids) = (found.scores.pointer(&self.cuda), found.ids.pointer(&self.cuda));
        told(&self.cuda, "search on the device", |text| {
            let (all, n, d) = (self.rows.pointer(&self.cuda), self.n() as i64, int(d));
            let (nq, k) = (rows.len() as i64, k as i64);
            // SAFETY: `handle` is of `open`; the queries were checked, and what is found has room.
            unsafe {
                let search = self.faiss.search;
                search(shared.handle, all, n, d, first, nq, k, scores, ids, text, TEXT_BYTES)
            }
        })
    }

    fn check_values(&self, what: &'static str, expected: usize, found: usize) -> Result<()> {
        match expected == found {
            true => Ok(()),
            false => Err(Error::Dimension { what, expected, found }),
        }
    }
}

impl Drop for FlatIndex {
    fn drop(&mut self) {
        let shared = self.shared.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _alone = between_records();
        // SAFETY: `handle` is of `open`, and nothing uses it any more.
        unsafe { (self.faiss.close)(shared.handle) };
        self.cuda.budget.give_back(self.bytes);
    }
}

/// What a search found, on the device: `[queries, k]` scores, and the rows they are of, in the order in
/// which these were added. Where there are fewer than `k` rows the id is -1 and the score means nothing.
#[derive(Default)]
pub struct Nearest {
    pub scores: DeviceRows<f32>,
    pub ids: DeviceRows<i64>,
}

/// Calls the library with room for an error's text. A device that was lost is told as that.
fn told(cuda: &Cuda, action: &'static str, call: impl FnOnce(*mut c_char) -> c_int) -> Result<()> {
    let mut text = [0; TEXT_BYTES];
    if call(text.as_mut_ptr().cast()) == 0 {
        return Ok(());
    }
    cuda.synchronize()?;
    let said = CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy();
    Err(Error::library("FAISS", action)(said.into_owned()))
}
