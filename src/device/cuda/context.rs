//! Is there a GPU, and what must one have of it to compute?

use std::fmt;
use std::sync::Arc;

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, CudaStream, sys};

use super::kernels::Kernels;
use super::matmul::Blas;
use crate::device::MemoryInfo;
use crate::error::{Error, Result};

/// The libraries of CUDA 13 come with drivers from this one on.
const DRIVER_REMEDY: &str = "install NVIDIA's driver 580 or newer (libcuda.so.1), or use the CPU";

/// One device, its one stream, and the code that runs there.
pub struct Cuda {
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) blas: Blas,
    ordinal: usize,
    name: String,
}

impl Cuda {
    /// How many devices there are; 0 without a driver.
    pub fn count() -> usize {
        if !driver_is_there() {
            return 0;
        }
        CudaContext::device_count().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Device `ordinal`, with its kernels loaded.
    pub fn open(ordinal: usize) -> Result<Self> {
        let count = Self::count();
        if ordinal >= count {
            let what = format!("cuda:{ordinal}");
            let remedy = match count {
                0 if !driver_is_there() => DRIVER_REMEDY.to_owned(),
                0 => "the driver sees no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use \
                      the CPU"
                    .to_owned(),
                n => format!("this machine has {n}: the last is cuda:{}", n - 1),
            };
            return Err(Error::Unavailable { what, remedy });
        }
        let context = CudaContext::new(ordinal).map_err(failed("open the device"))?;
        // SAFETY: all that is launched and copied here goes through one stream, which orders it, so
        // no event is needed between two uses of a buffer.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("make a stream"))?;
        let kernels = Kernels::load(&context)?;
        let blas = Blas::new(&stream)?;
        let name = context.name().map_err(failed("ask the device's name"))?;
        Ok(Self { stream, kernels, blas, ordinal, name })
    }

    /// `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> String {
        format!("cuda:{} {}", self.ordinal, self.name)
    }

    /// What is used of the device's memory by all processes together.
    pub fn memory(&self) -> Result<MemoryInfo> {
        let (free, total) =
            self.context().mem_get_info().map_err(failed("ask how much memory is free"))?;
        Ok(MemoryInfo { used_bytes: (total - free) as u64, total_bytes: total as u64 })
    }

    /// Waits until everything that was launched is done; a kernel that failed is told here.
    pub fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("finish what was launched"))
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// The error for `bytes` that the device has not got.
    pub(super) fn allocation(&self, bytes: usize, error: DriverError) -> Error {
        if error.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            return failed("allocate memory")(error);
        }
        let seen = self.memory().map_or_else(
            |_| "how much is free is not known".to_owned(),
            |of| format!("{} of {} bytes are used", of.used_bytes, of.total_bytes),
        );
        Error::Unavailable {
            what: format!("{bytes} bytes of memory of {}", self.name()),
            remedy: format!("{seen}; end what else uses the device, or ask for smaller batches"),
        }
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// For `map_err`: the driver failed at `action`.
pub(super) fn failed(action: &'static str) -> impl FnOnce(DriverError) -> Error {
    Error::library("the CUDA driver", action)
}

/// Whether the driver's library can be loaded; without it every call of cudarc would panic.
fn driver_is_there() -> bool {
    // SAFETY: loading NVIDIA's library runs its initialisers, which is what it is for.
    unsafe { sys::is_culib_present() }
}
