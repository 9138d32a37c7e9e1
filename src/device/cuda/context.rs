//! A CUDA device: its driver, its stream, its memory, and the code that runs there.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaContext, CudaStream, sys};
use parking_lot::Mutex;

use super::blas::{Blas, WORKSPACE_BYTES};
use super::budget::Budget;
use super::capture::recording_stream;
use super::error::failed;
use super::kernels::Kernels;
use crate::base::error::{Error, Result};
use crate::base::telemetry::MemoryInfo;

/// The libraries of CUDA 13 come with drivers from this one on.
const DRIVER_REMEDY: &str = "install NVIDIA's driver 580 or newer (libcuda.so.1), or use the CPU";

/// The action of a failed query of the memory.
const MEMORY: &str = "ask how much memory is free";

/// The maximum age of a query of the memory that a batch reports.
const RECENT: Duration = Duration::from_millis(100);

/// One device, its one stream, and the code that runs there.
pub struct Cuda {
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) blas: Blas,
    pub(crate) budget: Arc<Budget>,
    /// The last query of the memory, and its time.
    last_memory: Mutex<Option<(Instant, MemoryInfo)>>,
    ordinal: usize,
    name: String,
}

impl Cuda {
    /// The number of devices; 0 without a driver.
    pub fn count() -> usize {
        if !has_driver() {
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
                0 if !has_driver() => DRIVER_REMEDY.to_owned(),
                0 => "the driver sees no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use \
                      the CPU"
                    .to_owned(),
                n => format!("this machine has {n}: the last is cuda:{}", n - 1),
            };
            return Err(Error::Unavailable { what, remedy });
        }
        let context = CudaContext::new(ordinal).map_err(failed("open the device"))?;
        // SAFETY: all launches and copies go through one stream, which orders them, so no event is
        // needed between two uses of a buffer.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("make a stream"))?;
        let kernels = Kernels::load(&context)?;
        let blas = Blas::new(&stream)?;
        let name = context.name().map_err(failed("ask the device's name"))?;
        let (_, total) = context.mem_get_info().map_err(failed(MEMORY))?;
        let bytes_max = (total as f64 * f64::from(utilization)) as usize;
        let budget = Arc::new(Budget::new(bytes_max, WORKSPACE_BYTES));
        Ok(Self { stream, kernels, blas, budget, last_memory: Mutex::default(), ordinal, name })
    }

    /// `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> String {
        format!("cuda:{} {}", self.ordinal, self.name)
    }

    /// The memory of the device, as all processes together use it.
    pub fn memory(&self) -> Result<MemoryInfo> {
        let mut last = self.last_memory.lock();
        let (free, total) = self.context().mem_get_info().map_err(failed(MEMORY))?;
        let used_bytes = (total - free) as u64;
        let peak_bytes = last.map_or(0, |(_, before)| before.peak_bytes).max(used_bytes);
        let now = MemoryInfo { used_bytes, total_bytes: total as u64, peak_bytes };
        *last = Some((Instant::now(), now));
        Ok(now)
    }

    /// The same, up to a tenth of a second old, since asking the driver for every batch takes time.
    pub fn recent_memory(&self) -> Option<MemoryInfo> {
        let last = *self.last_memory.lock();
        match last {
            Some((at, memory)) if at.elapsed() < RECENT => Some(memory),
            _ => self.memory().ok(),
        }
    }

    /// Waits until everything launched is done; a failed kernel is reported here.
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

    /// The stream for the operations of this thread: while it records a graph, that of the
    /// recording.
    pub(super) fn queue(&self) -> sys::CUstream {
        recording_stream().unwrap_or_else(|| self.stream())
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// Makes this the current device of the thread, which calls of the driver need.
    pub(super) fn bind(&self) -> Result<()> {
        self.context().bind_to_thread().map_err(failed("use the device"))
    }

    /// The error for `bytes` of memory that are not free.
    pub(crate) fn no_room(&self, bytes: usize) -> Error {
        let used = self.memory().map_or_else(
            |_| "how much is free is unknown".to_owned(),
            |memory| format!("{} of {} bytes are used", memory.used_bytes, memory.total_bytes),
        );
        Error::Unavailable {
            what: format!("{bytes} bytes of memory of {}", self.name()),
            remedy: format!(
                "{used}; this program has taken {} of its {} \
                 (engine.gpu_memory_utilization); stop other users of the device, use a smaller \
                 model, or engine.device = cpu",
                self.budget.held(),
                self.budget.bytes_max()
            ),
        }
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Whether the driver's library can be loaded; without it every call of cudarc would panic.
fn has_driver() -> bool {
    // SAFETY: loading NVIDIA's library runs its initialisers, which is what it is for.
    unsafe { sys::is_culib_present() }
}
