//! Launches of kernels.

use std::ffi::c_void;

use cudarc::driver::result;

use super::context::Cuda;
use super::error::failed;
use super::kernels::Kernel;
use crate::base::error::Result;

/// A launch of a kernel.
pub struct Launch {
    pub kernel: Kernel,
    pub blocks: (usize, usize),
    pub threads: u32,
}

impl Cuda {
    /// Enqueues a kernel; without blocks it does nothing.
    ///
    /// # Safety
    /// `arguments` point to values of the types and in the order of the kernel's parameters, and
    /// every pointer among those values leads to as many elements as the kernel reads or writes.
    pub(crate) unsafe fn launch(
        &self,
        launch: &Launch,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let (x, y) = launch.blocks;
        if x == 0 || y == 0 {
            return Ok(());
        }
        let fits = |n: usize| u32::try_from(n).expect("a grid of less than 2^32 blocks");
        let kernel = launch.kernel;
        let function = self.kernels.function(kernel);
        self.bind()?;
        // SAFETY: the caller vouches for the arguments; the function is of a loaded module.
        unsafe {
            result::launch_kernel(
                function,
                (fits(x), fits(y), 1),
                (launch.threads, 1, 1),
                kernel.shared_bytes() as u32,
                self.queue(),
                arguments,
            )
        }
        .map_err(failed("launch a kernel"))
    }
}

/// The arguments of a kernel: a pointer to each of these variables.
macro_rules! arguments {
    ($($value:ident),* $(,)?) => {
        &mut [$((&raw const $value).cast_mut().cast::<std::ffi::c_void>()),*]
    };
}
pub(crate) use arguments;
