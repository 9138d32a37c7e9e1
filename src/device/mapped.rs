//! Memory-mapped files of weights.

use std::path::Path;

use candle_core::safetensors::MmapedSafetensors;

/// Maps a safetensors file and reads its header; the values are read on demand.
pub fn map_safetensors(path: &Path) -> candle_core::Result<MmapedSafetensors> {
    // SAFETY: the map is read only while weights are loaded. Model files are written under another
    // name and renamed, never changed in place; if one is truncated meanwhile, the process ends
    // with SIGBUS and does not compute with wrong memory.
    unsafe { MmapedSafetensors::new(path) }
}
