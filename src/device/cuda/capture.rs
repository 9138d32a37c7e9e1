//! The capture of a stream: where the launches of a thread go while it records a graph.

use std::cell::Cell;
use std::sync::Arc;

use cudarc::driver::{CudaStream, sys};
use parking_lot::{Mutex, MutexGuard};

pub(super) const NO_FLAGS: sys::CUgraphInstantiate_flags = sys::CUgraphInstantiate_flags(0);

thread_local! {
    /// The stream for the launches of this thread while it records.
    static RECORDING: Cell<Option<sys::CUstream>> = const { Cell::new(None) };
}

/// One thread records at a time, and no other synchronises with the whole device meanwhile, since
/// that would invalidate the recording, whatever its mode.
static RECORDS: Mutex<()> = Mutex::new(());

/// To be held while the driver or a library may synchronise with the whole device. `None` on a
/// thread that records: the driver refuses what it must not do.
pub(crate) fn between_records() -> Option<MutexGuard<'static, ()>> {
    let records = RECORDING.get().is_some();
    (!records).then(|| RECORDS.lock())
}

/// The stream that this thread records on, if it does.
pub(super) fn recording_stream() -> Option<sys::CUstream> {
    RECORDING.get()
}

/// While this lives, launches of the thread go to the recording stream.
pub(super) struct Recording<'a>(&'a Arc<CudaStream>);

impl<'a> Recording<'a> {
    pub fn on(stream: &'a Arc<CudaStream>) -> Self {
        RECORDING.set(Some(stream.cu_stream()));
        Self(stream)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        RECORDING.set(None);
        if std::thread::panicking() {
            let _ = self.0.end_capture(NO_FLAGS);
        }
    }
}
