//! What do we ask of FAISS, and why is each call sound?
//!
//! The only `unsafe` of this room beside the mapping of files. C++ exceptions come back as codes;
//! what FAISS would answer with an abort or a crash (a damaged file, a wrong length, an id out of
//! range) is checked before the call. Searching needs `&self` only: FAISS reads, and several
//! threads may search one index at once.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;
use std::sync::RwLock;

use faiss_sys as sys;

use crate::base::error::{Error, Result};

/// Reads vectors and inverted lists as views of a mapping. The other way that FAISS has for
/// inverted lists (0x646f0008) starts up to 32 threads for every query, so it is not used.
const IO_FLAG_MMAP_IFC: c_int = 1 << 9;

/// Which ids may be returned: bit `i % 64` of word `i / 64` for row `i`.
#[derive(Clone, Copy)]
pub(super) struct Allowed<'a>(pub &'a [u64]);

/// The one FAISS index behind a pointer that this value owns.
pub(super) struct Faiss {
    index: *mut sys::FaissIndex,
    n: usize,
    d: usize,
    /// `ef_search` as it stands in an hnsw index: FAISS has no per-call form of it in C. Searches
    /// share the lock while they agree on the value, and one that does not is alone.
    ef_search: RwLock<usize>,
}

// SAFETY: the pointer is owned by this value alone and FAISS indexes are not bound to a thread.
unsafe impl Send for Faiss {}
// SAFETY: through `&self` the index is only read, except `efSearch`, which is written only under
// the write lock of `ef_search` and read by searches only under its read lock.
unsafe impl Sync for Faiss {}

impl Drop for Faiss {
    fn drop(&mut self) {
        // SAFETY: the pointer came from FAISS, is owned here and is not used afterwards.
        unsafe { sys::faiss_Index_free(self.index) }
    }
}

/// What a search hands to an index of one kind.
#[derive(Clone, Copy)]
pub(super) enum Effort {
    Flat,
    Ivf { nprobe: usize },
    Hnsw { ef_search: usize },
}

impl Faiss {
    /// An empty index over inner products.
    pub(super) fn new(factory: &str, d: usize) -> Result<Self> {
        let description = c_string(factory.as_bytes())?;
        let mut index = ptr::null_mut();
        let metric = sys::FaissMetricType_METRIC_INNER_PRODUCT;
        // SAFETY: the out pointer and the string outlive the call.
        let code = unsafe {
            sys::faiss_index_factory(&mut index, d as c_int, description.as_ptr(), metric)
        };
        check(code, "make an index")?;
        Self::own(index)
    }

    /// Opens a file that is known to be whole; `mapped` leaves its vectors on disk.
    pub(super) fn read(path: &Path, mapped: bool) -> Result<Self> {
        let name = c_string(path.as_os_str().as_encoded_bytes())?;
        let flags = if mapped { IO_FLAG_MMAP_IFC } else { 0 };
        let mut index = ptr::null_mut();
        // SAFETY: the out pointer and the string outlive the call.
        let code = unsafe { sys::faiss_read_index_fname(name.as_ptr(), flags, &mut index) };
        check(code, "read an index")?;
        Self::own(index)
    }

    fn own(index: *mut sys::FaissIndex) -> Result<Self> {
        if index.is_null() {
            return Err(failure("make an index", "no index came back".into()));
        }
        // SAFETY: the pointer is a live index.
        let (n, d) = unsafe { (sys::faiss_Index_ntotal(index), sys::faiss_Index_d(index)) };
        Ok(Self { index, n: n as usize, d: d as usize, ef_search: RwLock::new(0) })
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    pub(super) fn d(&self) -> usize {
        self.d
    }

    /// Trains on rows.
    ///
    /// rows: `[n, d]`, row-major, f32.
    pub(super) fn train(&mut self, rows: &[f32]) -> Result<()> {
        let n = rows.len() / self.d;
        assert_eq!(n * self.d, rows.len());
        // SAFETY: `rows` holds n * d values, and `&mut self` keeps every other caller out.
        let code = unsafe { sys::faiss_Index_train(self.index, n as i64, rows.as_ptr()) };
        check(code, "train an index")
    }

    /// Adds rows behind the ones there.
    ///
    /// rows: `[n, d]`, row-major, f32.
    pub(super) fn add(&mut self, rows: &[f32]) -> Result<()> {
        let n = rows.len() / self.d;
        assert_eq!(n * self.d, rows.len());
        // SAFETY: `rows` holds n * d values, and `&mut self` keeps every other caller out.
        check(unsafe { sys::faiss_Index_add(self.index, n as i64, rows.as_ptr()) }, "add rows")?;
        self.n += n;
        Ok(())
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let name = c_string(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: the index is live and the string outlives the call.
        let code = unsafe { sys::faiss_write_index_fname(self.index, name.as_ptr()) };
        check(code, "write an index")
    }

    /// The rows of a flat index as bytes `[n, d, 4]`, little-endian f32; `None` for other kinds.
    ///
    /// Bytes and not floats, because in a mapped file they begin at an odd address.
    pub(super) fn flat_rows(&self) -> Option<&[u8]> {
        // SAFETY: a checked cast of a live index, which gives null for other kinds.
        let flat = unsafe { sys::faiss_IndexFlat_cast(self.index) };
        if flat.is_null() {
            return None;
        }
        if self.n == 0 {
            return Some(&[]);
        }
        let (mut rows, mut len) = (ptr::null_mut(), 0usize);
        // SAFETY: `flat` is a live flat index and both out pointers outlive the call.
        unsafe { sys::faiss_IndexFlat_xb(flat, &mut rows, &mut len) };
        if rows.is_null() || len != self.n * self.d {
            return None;
        }
        // SAFETY: FAISS owns `len` values there for as long as the index lives and nothing is
        // added, which needs `&mut self`; a byte has no alignment and no invalid value.
        Some(unsafe { std::slice::from_raw_parts(rows.cast::<u8>(), len * 4) })
    }

    /// The nearest `k` rows of each query: scores and ids, `-1` where there are fewer.
    ///
    /// queries: `[nq, d]`, row-major, f32; answers `[nq, k]` scores and `[nq, k]` ids.
    pub(super) fn search(
        &self,
        queries: &[f32],
        k: usize,
        effort: Effort,
        allowed: Option<Allowed<'_>>,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        let nq = queries.len() / self.d;
        assert!(nq * self.d == queries.len() && k > 0);
        let mut scores = vec![0f32; nq * k];
        let mut ids = vec![-1i64; nq * k];
        let params = Params::new(effort, allowed)?;
        let mut call = || {
            // SAFETY: `queries` holds nq * d values, both outputs hold nq * k, and `params` with
            // the bitmap that it points to outlives the call.
            let code = unsafe {
                sys::faiss_Index_search_with_params(
                    self.index,
                    nq as i64,
                    queries.as_ptr(),
                    k as i64,
                    params.params,
                    scores.as_mut_ptr(),
                    ids.as_mut_ptr(),
                )
            };
            check(code, "search an index")
        };
        match effort {
            Effort::Hnsw { ef_search } => self.with_ef_search(ef_search, call)?,
            _ => call()?,
        }
        Ok((scores, ids))
    }

    fn with_ef_search(&self, wanted: usize, call: impl FnOnce() -> Result<()>) -> Result<()> {
        let now = self.ef_search.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *now == wanted {
            return call();
        }
        drop(now);
        let mut now = self.ef_search.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *now != wanted {
            let mut space = ptr::null_mut();
            let name = c"efSearch".as_ptr();
            // SAFETY: the out pointer outlives the call; the index is written under the write lock;
            // the space is freed once and not used afterwards.
            let code = unsafe {
                check(sys::faiss_ParameterSpace_new(&mut space), "make parameters")?;
                let code = sys::faiss_ParameterSpace_set_index_parameter(
                    space,
                    self.index,
                    name,
                    wanted as f64,
                );
                sys::faiss_ParameterSpace_free(space);
                code
            };
            check(code, "set efSearch")?;
            *now = wanted;
        }
        call()
    }
}

/// The parameters of one search, freed with this value.
struct Params {
    params: *mut sys::FaissSearchParameters,
    selector: *mut sys::FaissIDSelector,
}

impl Params {
    fn new(effort: Effort, allowed: Option<Allowed<'_>>) -> Result<Self> {
        let mut made = Self { params: ptr::null_mut(), selector: ptr::null_mut() };
        if let Some(Allowed(words)) = allowed {
            const { assert!(cfg!(target_endian = "little"), "words are read as bytes") };
            let mut selector = ptr::null_mut();
            // SAFETY: the words are `8 * len` readable bytes. FAISS keeps the pointer, and the
            // search that uses it ends before the borrow of the words does.
            let code = unsafe {
                sys::faiss_IDSelectorBitmap_new(
                    &mut selector,
                    words.len() * 8,
                    words.as_ptr().cast(),
                )
            };
            check(code, "make a selector")?;
            made.selector = selector.cast();
        }
        // SAFETY: the out pointer outlives the call; a null selector means that all are allowed.
        let code = unsafe {
            match effort {
                Effort::Ivf { nprobe } => sys::faiss_SearchParametersIVF_new_with(
                    &mut made.params,
                    made.selector,
                    nprobe,
                    0,
                ),
                _ => sys::faiss_SearchParameters_new(&mut made.params, made.selector),
            }
        };
        check(code, "make parameters")?;
        Ok(made)
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        // SAFETY: each pointer is null or came from FAISS, is owned here and is freed once.
        unsafe {
            if !self.params.is_null() {
                sys::faiss_SearchParameters_free(self.params);
            }
            if !self.selector.is_null() {
                sys::faiss_IDSelector_free(self.selector);
            }
        }
    }
}

/// The bytes of floats, as a file holds them.
///
/// values: `[len]`, f32; answers `[4 * len]`.
pub(super) fn bytes_of(values: &[f32]) -> &[u8] {
    // SAFETY: a float is four bytes without padding, and a byte has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }
}

/// text: `[len]`, without a zero byte.
fn c_string(text: &[u8]) -> Result<CString> {
    CString::new(text).map_err(Error::library("faiss", "read a path"))
}

fn check(code: c_int, action: &'static str) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: FAISS answers null or a string of this thread that stays until its next failure.
    let message = unsafe {
        let text: *const c_char = sys::faiss_get_last_error();
        if text.is_null() {
            format!("code {code}")
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    Err(failure(action, message))
}

fn failure(action: &'static str, message: String) -> Error {
    Error::Library { part: "faiss", action, source: message.into() }
}
