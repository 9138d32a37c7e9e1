//! The flat index of a build without GPU support: there is none.

use crate::base::error::Result;
use crate::device::{Device, DeviceIndex};

pub enum FlatIndex {}

impl DeviceIndex for FlatIndex {}

impl FlatIndex {
    /// The most rows that a search returns for one query.
    pub const K_MAX: usize = 2048;

    /// `None`: networks compute on the CPU.
    pub fn on_device(_: &Device, _: usize, _: usize) -> Result<Option<Self>> {
        Ok(None)
    }

    /// Appends rows of the host. rows: `[any, d]`.
    pub fn add(&mut self, _: &[f32]) -> Result<()> {
        match *self {}
    }

    pub fn n(&self) -> usize {
        match *self {}
    }
}
