//! Is there a GPU, and what must one have of it to compute?

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, CudaStream, sys};

use super::kernels::Kernels;
use super::matmul::{Blas, WORKSPACE_BYTES};
use super::memory::Budget;
use crate::base::error::{Error, Result};
use crate::base::telemetry::MemoryInfo;

/// The libraries of CUDA 13 come with drivers from this one on.
const DRIVER_REMEDY: &str = "install NVIDIA's driver 580 or newer (libcuda.so.1), or use the CPU";

/// What was asked when the driver could not say it.
const MEMORY: &str = "ask how much memory is free";

/// How old a look at the memory may be that a batch is told with.
const RECENT: Duration = Duration::from_millis(100);

/// One device, its one stream, and the code that runs there.
pub struct Cuda {
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) blas: Blas,
    pub(crate) budget: Arc<Budget>,
    /// The last look at the memory, and when it was.
    seen: Mutex<Option<(Instant, MemoryInfo)>>,
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

    /// Device `ordinal`, with its kernels loaded. utilization: the share of its memory that may be
    /// taken, 0 to 1.
    pub fn open(ordinal: usize, utilization: f32) -> Result<Self> {
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
        let (_, total) = context.mem_get_info().map_err(failed(MEMORY))?;
        let bytes_max = (total as f64 * f64::from(utilization)) as usize;
        let budget = Arc::new(Budget::new(bytes_max, WORKSPACE_BYTES));
        Ok(Self { stream, kernels, blas, budget, seen: Mutex::default(), ordinal, name })
    }

    /// `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> String {
        format!("cuda:{} {}", self.ordinal, self.name)
    }

    /// What is used of the device's memory by all processes together.
    pub fn memory(&self) -> Result<MemoryInfo> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, total) = self.context().mem_get_info().map_err(failed(MEMORY))?;
        let used_bytes = (total - free) as u64;
        let peak_bytes = seen.map_or(0, |(_, before)| before.peak_bytes).max(used_bytes);
        let now = MemoryInfo { used_bytes, total_bytes: total as u64, peak_bytes };
        *seen = Some((Instant::now(), now));
        Ok(now)
    }

    /// The same, up to a tenth of a second old: asking the driver for every batch would cost some.
    pub fn recent_memory(&self) -> Option<MemoryInfo> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Some((at, memory)) if at.elapsed() < RECENT => Some(memory),
            _ => self.memory().ok(),
        }
    }

    /// Waits until everything that was launched is done; a kernel that failed is told here.
    pub fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("finish what was launched"))
    }

    pub(crate) fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// The one stream on which everything here runs.
    pub(crate) fn stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// Makes the device that of this thread, as every call of the driver wants it.
    pub(super) fn bind(&self) -> Result<()> {
        self.context().bind_to_thread().map_err(failed("use the device"))
    }

    /// The error for `bytes` of memory that are not there.
    pub(crate) fn no_room(&self, bytes: usize) -> Error {
        let seen = self.memory().map_or_else(
            |_| "how much is free is not known".to_owned(),
            |of| format!("{} of {} bytes are used", of.used_bytes, of.total_bytes),
        );
        Error::Unavailable {
            what: format!("{bytes} bytes of memory of {}", self.name()),
            remedy: format!(
                "{seen}; of {} that this program may take it has {} \
                 (engine.gpu_memory_utilization); end what else uses the device, use a smaller \
                 model, or engine.device = cpu",
                self.budget.bytes_max(),
                self.budget.held()
            ),
        }
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// For `map_err`: the driver failed at `action`. After some failures it refuses all that follows.
pub(super) fn failed(action: &'static str) -> impl FnOnce(DriverError) -> Error {
    move |error| match is_final(error.0) {
        true => Error::DeviceLost { detail: format!("it could not {action}: {error}") },
        false => Error::library("the CUDA driver", action)(error),
    }
}

/// Whether the context is of no more use: what CUDA's manual says of each error.
fn is_final(error: sys::CUresult) -> bool {
    use sys::CUresult::*;
    matches!(
        error,
        CUDA_ERROR_DEVICE_UNAVAILABLE
            | CUDA_ERROR_ECC_UNCORRECTABLE
            | CUDA_ERROR_NVLINK_UNCORRECTABLE
            | CUDA_ERROR_CONTAINED
            | CUDA_ERROR_ILLEGAL_ADDRESS
            | CUDA_ERROR_LAUNCH_TIMEOUT
            | CUDA_ERROR_CONTEXT_IS_DESTROYED
            | CUDA_ERROR_ASSERT
            | CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUDA_ERROR_MISALIGNED_ADDRESS
            | CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUDA_ERROR_INVALID_PC
            | CUDA_ERROR_LAUNCH_FAILED
            | CUDA_ERROR_EXTERNAL_DEVICE
            | CUDA_ERROR_UNKNOWN
    )
}

/// Whether the driver's library can be loaded; without it every call of cudarc would panic.
fn driver_is_there() -> bool {
    // SAFETY: loading NVIDIA's library runs its initialisers, which is what it is for.
    unsafe { sys::is_culib_present() }
}
