//! The calls into FAISS, and why each is sound.
//!
//! Building, reading, writing and parameters go through the safe crate `faiss`. Two things cannot, and
//! call `faiss-sys`: a search, because the safe crate searches a factory-made index only by `&mut` and
//! its selectors keep a pointer beyond the borrow of the bitmap and are never freed; and the rows of a
//! mapped flat index, because the safe crate reads them as aligned floats, which they are not.
//!
//! C++ exceptions come back as codes. What FAISS would answer with an abort or a crash (a damaged
//! file, a wrong length, an id out of range) is checked before the call. FAISS only reads an index
//! while it searches, so several threads may search one index at once.

use std::ffi::{CStr, c_char, c_int};
use std::path::Path;
use std::ptr;

use faiss::index::IndexImpl;
use faiss::index::autotune::ParameterSpace;
use faiss::index::io::{IoFlags, read_index_with_flags};
use faiss::vector_transform::{NativeVectorTransform, PCAMatrixImpl, VectorTransform};
use faiss::{Index, MetricType, index_factory, write_index};
use faiss_sys as sys;
use parking_lot::RwLock;

use crate::base::error::{Error, Result};

/// Reads vectors and inverted lists as views of a mapping. The other way that FAISS has for
/// inverted lists (0x646f0008) starts up to 32 threads for every query, so it is not used.
const IO_FLAG_MMAP_IFC: c_int = 1 << 9;

/// The ids that may be returned: bit `i % 64` of word `i / 64` for row `i`.
#[derive(Clone, Copy)]
pub(super) struct Allowed<'a>(pub &'a [u64]);

/// An index of FAISS over inner products.
pub(super) struct Faiss {
    index: IndexImpl,
    n: usize,
    d: usize,
    /// The value of `efSearch` in an hnsw index: the C interface has no parameter of a search for it.
    /// Searches share the lock while they agree on the value; one that needs another is alone.
    ef_search: RwLock<usize>,
}

/// How much a search examines, for each kind of index.
#[derive(Clone, Copy)]
pub(super) enum Effort {
    Flat,
    Ivf { nprobe: usize },
    Hnsw { ef_search: usize },
}

impl Faiss {
    /// An empty index over inner products.
    pub(super) fn new(factory: &str, d: usize) -> Result<Self> {
        let d = u32::try_from(d).map_err(Error::library("faiss", "make an index"))?;
        let index = index_factory(d, factory, MetricType::InnerProduct);
        index.map(Self::from_index).map_err(failed("make an index"))
    }

    /// Opens a file that is known to be whole; `mapped` leaves its vectors on disk.
    pub(super) fn read(path: &Path, mapped: bool) -> Result<Self> {
        let flags = if mapped { IoFlags::from(IO_FLAG_MMAP_IFC) } else { IoFlags::MEM_RESIDENT };
        let index = read_index_with_flags(text(path)?, flags);
        index.map(Self::from_index).map_err(failed("read an index"))
    }

    fn from_index(index: IndexImpl) -> Self {
        let n = index.ntotal() as usize;
        let d = index.d() as usize;
        Self { index, n, d, ef_search: RwLock::new(0) }
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
        assert!(rows.len().is_multiple_of(self.d));
        self.index.train(rows).map_err(failed("train an index"))
    }

    /// Adds rows behind the existing ones.
    ///
    /// rows: `[n, d]`, row-major, f32.
    pub(super) fn add(&mut self, rows: &[f32]) -> Result<()> {
        assert!(rows.len().is_multiple_of(self.d));
        self.index.add(rows).map_err(failed("add rows"))?;
        self.n += rows.len() / self.d;
        Ok(())
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        write_index(&self.index, text(path)?).map_err(failed("write an index"))
    }

    /// The rows of a flat index as bytes `[n, d, 4]`, little-endian f32; `None` for other kinds.
    ///
    /// Bytes and not floats, because in a mapped file they begin at an odd address.
    pub(super) fn flat_rows(&self) -> Option<&[u8]> {
        // SAFETY: a checked cast of a live index, which returns null for other kinds.
        let flat = unsafe { sys::faiss_IndexFlat_cast(self.index.inner_ptr()) };
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
    /// queries: `[nq, d]`, row-major, f32; returns `[nq, k]` scores and `[nq, k]` ids.
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
            // SAFETY: `queries` holds nq * d values, both outputs hold nq * k, and `params` and the
            // bitmap that it points to outlive the call. The index is only read, except `efSearch`,
            // which is written only under the write lock of `ef_search`.
            let code = unsafe {
                sys::faiss_Index_search_with_params(
                    self.index.inner_ptr(),
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

    /// Runs `call` while `efSearch` is `wanted`.
    fn with_ef_search(&self, wanted: usize, call: impl FnOnce() -> Result<()>) -> Result<()> {
        let current = self.ef_search.read();
        if *current == wanted {
            return call();
        }
        drop(current);
        let mut current = self.ef_search.write();
        if *current != wanted {
            let value = u32::try_from(wanted).map_err(Error::library("faiss", "set efSearch"))?;
            ParameterSpace::new()
                .and_then(|space| space.set_index_parameter(&self.index, "efSearch", value))
                .map_err(failed("set efSearch"))?;
            *current = wanted;
        }
        call()
    }
}

/// The `d_out` principal components of rows of `d` values, less their mean (PCA).
///
/// rows: `[n, d]`, row-major, f32; returns `[n, d_out]`.
pub(super) fn principal_components(rows: &[f32], d: usize, d_out: usize) -> Result<Vec<f32>> {
    let n = rows.len() / d;
    assert!(n * d == rows.len() && (1..=d).contains(&d_out) && d_out <= n);
    let size = |d| u32::try_from(d).map_err(Error::library("faiss", "compute a PCA"));
    let mut pca =
        PCAMatrixImpl::new(size(d)?, size(d_out)?, 0.0, false).map_err(failed("compute a PCA"))?;
    pca.train(n, rows).map_err(failed("compute a PCA"))?;
    let mut components = vec![0.0; n * d_out];
    // SAFETY: the transform is trained, `rows` holds n * d values and the output n * d_out. The safe
    // crate returns the output without its length.
    unsafe {
        sys::faiss_VectorTransform_apply_noalloc(
            pca.inner_ptr(),
            n as i64,
            rows.as_ptr(),
            components.as_mut_ptr(),
        )
    };
    Ok(components)
}

/// The parameters of one search, freed with this value.
struct Params {
    params: *mut sys::FaissSearchParameters,
    selector: *mut sys::FaissIDSelector,
}

impl Params {
    fn new(effort: Effort, allowed: Option<Allowed<'_>>) -> Result<Self> {
        let mut parameters = Self { params: ptr::null_mut(), selector: ptr::null_mut() };
        if let Some(Allowed(words)) = allowed {
            const { assert!(cfg!(target_endian = "little"), "words are read as bytes") };
            let mut selector = ptr::null_mut();
            // SAFETY: the words are `8 * len` readable bytes. FAISS keeps the pointer, and the search
            // that uses it ends before the borrow of the words does.
            let code = unsafe {
                sys::faiss_IDSelectorBitmap_new(
                    &mut selector,
                    words.len() * 8,
                    words.as_ptr().cast(),
                )
            };
            check(code, "make a selector")?;
            parameters.selector = selector.cast();
        }
        // SAFETY: the out pointer outlives the call; a null selector allows every id.
        let code = unsafe {
            match effort {
                Effort::Ivf { nprobe } => sys::faiss_SearchParametersIVF_new_with(
                    &mut parameters.params,
                    parameters.selector,
                    nprobe,
                    0,
                ),
                _ => sys::faiss_SearchParameters_new(&mut parameters.params, parameters.selector),
            }
        };
        check(code, "make parameters")?;
        Ok(parameters)
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
/// values: `[len]`, f32; returns `[4 * len]`.
pub(super) fn bytes_of(values: &[f32]) -> &[u8] {
    // SAFETY: a float is four bytes without padding, and a byte has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }
}

/// The path as the safe crate takes it. DuckDB refuses other paths than UTF-8 too.
fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| failure("read a path", "it is not UTF-8".into()))
}

/// Turns an error of the safe crate into ours, with the message of FAISS alone.
fn failed(action: &'static str) -> impl Fn(faiss::error::Error) -> Error {
    move |error| {
        let source = match error {
            faiss::error::Error::Native(native) => native.into(),
            other => other.into(),
        };
        Error::Library { part: "faiss", action, source }
    }
}

fn check(code: c_int, action: &'static str) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: FAISS returns null or a string of this thread that is valid until its next failure.
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
