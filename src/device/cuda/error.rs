//! The errors of the CUDA driver.

use cudarc::driver::result::DriverError;
use cudarc::driver::sys;

use crate::base::error::Error;

/// For `map_err`: the driver failed at `action`. After some failures it refuses every later call.
pub(super) fn failed(action: &'static str) -> impl FnOnce(DriverError) -> Error {
    move |error| {
        if is_final(error.0) {
            Error::DeviceLost { detail: format!("it could not {action}: {error}") }
        } else {
            Error::library("the CUDA driver", action)(error)
        }
    }
}

/// Whether the context cannot be used any more, by CUDA's manual for each error.
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
