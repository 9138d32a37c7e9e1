//! cuBLASLt on one stream.
//!
//! The descriptors of a product and the algorithm that cuBLASLt chooses for it are kept for each
//! layer shape and number of tokens.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{self, cublasLtEpilogue_t as Epilogue};
use cudarc::driver::sys::CUstream;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use parking_lot::Mutex;

use super::capture::between_records;
use super::error::failed;
use crate::base::error::{Error, Result};

/// NVIDIA's recommendation for Hopper.
pub(crate) const WORKSPACE_BYTES: usize = 32 << 20;

/// Partial sums are added in f32, not in the type of the output.
const SUMS_IN_F32: u32 =
    sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;

/// A network has some 4 layers of different shapes, each with 3 epilogues at most, and 2^16 tokens
/// are 49 buckets. Above this number all plans are dropped.
const PLANS_MAX: usize = 1024;

/// The products that share a plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub outputs: usize,
    pub inputs: usize,
    pub tokens: usize,
    pub epilogue: Epilogue,
    pub element: sys::cudaDataType,
}

/// One product, with the addresses of its operands.
pub(super) struct Call {
    pub key: Key,
    pub tokens: usize,
    pub weight: u64,
    pub bias: u64,
    pub x: u64,
    pub out: u64,
}

/// cuBLASLt on one stream.
pub struct Blas {
    handle: sys::cublasLtHandle_t,
    plans: Mutex<HashMap<Key, MatmulPlan>>,
    workspace: CudaSlice<u8>,
    stream: Arc<CudaStream>,
}

// SAFETY: the handle may be used by any thread, and the plans have a lock.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

impl Blas {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        // SAFETY: loading NVIDIA's library runs its initialisers, which is what it is for.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::Unavailable {
                what: "cuBLASLt (libcublasLt.so.13)".to_owned(),
                remedy: "put its folder into LD_LIBRARY_PATH: of a CUDA 13 toolkit, of \
                         scripts/cuda-toolkit --full, or of the Python package nvidia-cublas"
                    .to_owned(),
            });
        }
        let _alone = between_records();
        // SAFETY: cuBLASLt writes into the workspace before it reads it.
        let workspace = unsafe { stream.alloc(WORKSPACE_BYTES) };
        let workspace = workspace.map_err(failed("allocate the workspace of cuBLASLt"))?;
        let handle = result::create_handle().map_err(Error::library("cuBLASLt", "start"))?;
        Ok(Self { handle, plans: Mutex::default(), workspace, stream: stream.clone() })
    }

    /// # Safety
    /// The operands lie on the device of the stream and have the sizes of the call; all that uses
    /// the workspace runs in the order of one stream, this one or that on which its graph is launched.
    pub(super) unsafe fn multiply(&self, call: &Call, stream: CUstream) -> Result<(), CublasError> {
        let mut plans = self.plans.lock();
        if !plans.contains_key(&call.key) {
            if plans.len() >= PLANS_MAX {
                plans.clear();
            }
            plans.insert(call.key, MatmulPlan::new(self.handle, call)?);
        }
        let plan = &plans[&call.key];
        plan.set_call(call, call.tokens)?;
        let (workspace, _guard) = self.workspace.device_ptr(&self.stream);
        let (one, zero) = (1.0_f32, 0.0_f32);
        // SAFETY: the caller vouches for the operands, of which `out` is the third and the last;
        // the two factors are read before the call returns; the caller orders the uses of the
        // workspace.
        unsafe {
            result::matmul(
                self.handle,
                plan.product,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                call.weight as *const c_void,
                plan.weight,
                call.x as *const c_void,
                plan.x,
                call.out as *const c_void,
                plan.out,
                call.out as *mut c_void,
                plan.out,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                WORKSPACE_BYTES,
                stream.cast(),
            )
        }
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        self.plans.get_mut().clear();
        let _alone = between_records();
        // SAFETY: made by `new`, and this is its last use.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// The descriptors of a product, and the algorithm that cuBLASLt chose for it.
///
/// cuBLASLt is column-major: it reads a row-major `[n, d]` as a matrix of d rows and n columns. So
/// it computes `out^T = W x^T`, with the weight transposed.
struct MatmulPlan {
    product: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl MatmulPlan {
    fn new(handle: sys::cublasLtHandle_t, call: &Call) -> Result<Self, CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let Key { outputs, inputs, tokens, epilogue, element } = call.key;
        let mut plan = Self {
            product: null_mut(),
            weight: null_mut(),
            x: null_mut(),
            out: null_mut(),
            algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
        };
        let layout = |rows: usize, columns: usize| {
            result::create_matrix_layout(element, rows as u64, columns as u64, rows as i64)
        };
        plan.product = result::create_matmul_desc(
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cudaDataType::CUDA_R_32F,
        )?;
        plan.weight = layout(inputs, outputs)?;
        plan.x = layout(inputs, tokens)?;
        plan.out = layout(outputs, tokens)?;
        plan.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &1_i32)?;
        plan.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        plan.set_call(call, tokens)?;
        plan.algorithm = plan.choose(handle)?;
        Ok(plan)
    }

    fn choose(
        &self,
        handle: sys::cublasLtHandle_t,
    ) -> Result<sys::cublasLtMatmulAlgo_t, CublasError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let (workspace_bytes, schemes) = (WORKSPACE_BYTES, SUMS_IN_F32);
        let preference = result::create_matmul_pref()?;
        // SAFETY: the preference was made above and is destroyed once; the attributes have their
        // sizes; all descriptions of this plan are alive.
        unsafe {
            let found = result::set_matmul_pref_attribute(
                preference,
                Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace_bytes).cast(),
                size_of::<usize>(),
            )
            .and_then(|()| {
                result::set_matmul_pref_attribute(
                    preference,
                    Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                    (&raw const schemes).cast(),
                    size_of::<u32>(),
                )
            })
            .and_then(|()| {
                let Self { product, weight, x, out, .. } = *self;
                result::get_matmul_algo_heuristic(handle, product, weight, x, out, out, preference)
            });
            result::destroy_matmul_pref(preference)?;
            Ok(found?.algo)
        }
    }

    /// Sets what differs between two products of one plan.
    fn set_call(&self, call: &Call, tokens: usize) -> Result<(), CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        use sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_COLS as COLUMNS;
        if call.bias != 0 {
            self.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &call.bias)?;
        }
        let tokens = tokens as u64;
        for layout in [self.x, self.out] {
            // SAFETY: the layout is alive, and this attribute is 8 bytes, which are copied.
            unsafe {
                result::set_matrix_layout_attribute(
                    layout,
                    COLUMNS,
                    (&raw const tokens).cast(),
                    size_of::<u64>(),
                )?;
            }
        }
        Ok(())
    }

    fn set<A>(
        &self,
        attribute: sys::cublasLtMatmulDescAttributes_t,
        value: &A,
    ) -> Result<(), CublasError> {
        let (at, bytes) = ((&raw const *value).cast(), size_of::<A>());
        // SAFETY: the description is alive; the value is copied, and cuBLASLt refuses a wrong size.
        unsafe { result::set_matmul_desc_attribute(self.product, attribute, at, bytes) }
    }
}

impl Drop for MatmulPlan {
    fn drop(&mut self) {
        // SAFETY: each was made by `new`, or is null and there is nothing to destroy.
        unsafe {
            for layout in [self.weight, self.x, self.out].into_iter().filter(|at| !at.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            if !self.product.is_null() {
                let _ = result::destroy_matmul_desc(self.product);
            }
        }
    }
}
