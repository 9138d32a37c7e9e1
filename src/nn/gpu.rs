//! What does a network on a GPU make of a batch?

use std::sync::{Arc, Mutex, PoisonError};

use super::encoder::Opened;
use super::network::{Network, State};
use crate::device::Rows;
use crate::device::cuda::{Cuda, DeviceRows, Element, OnCuda};
use crate::device::ops::Segment;
use crate::error::{Error, Result};
use crate::token::Ragged;

/// A network whose weights and activations are in `T` on one GPU. One pass runs at a time, over the
/// whole batch, and the host waits only for what comes of it.
pub struct GpuNetwork<T: Element> {
    on: OnCuda<T>,
    network: Network<OnCuda<T>>,
    buffers: Mutex<Buffers<T>>,
}

/// What a pass leaves on the device for the next one.
struct Buffers<T: Element> {
    state: State<OnCuda<T>>,
    /// `[n, hidden]`: the pooled vectors.
    vectors: DeviceRows<f32>,
}

impl<T: Element> Default for Buffers<T> {
    fn default() -> Self {
        Self { state: State::default(), vectors: DeviceRows::default() }
    }
}

impl<T: Element> GpuNetwork<T> {
    /// Brings the weights to the device, and computes one token: a size that no kernel takes is told
    /// here.
    pub fn load(opened: &Opened, cuda: &Arc<Cuda>) -> Result<Self> {
        let on = OnCuda::new(cuda.clone())?;
        let network = Network::load(&opened.encoder(&on)?, &opened.description)?;
        let loaded = Self { on, network, buffers: Mutex::default() };
        loaded.pooled(&Ragged::from_seqs([&[0][..]]), Segment::Mean, true)?;
        Ok(loaded)
    }

    /// The hidden state of every token: `[tokens, hidden]`.
    pub fn hidden(&self, batch: &Ragged) -> Result<Rows> {
        self.with_buffers(batch, |Buffers { state, .. }| {
            let (hidden, _) = self.network.forward(&self.on, batch, state)?;
            self.on.download(hidden)
        })
    }

    /// One row a sequence: `[n * hidden]`, row-major.
    pub fn pooled(&self, batch: &Ragged, segment: Segment, normalize: bool) -> Result<Vec<f32>> {
        self.with_buffers(batch, |Buffers { state, vectors }| {
            let (hidden, batch) = self.network.forward(&self.on, batch, state)?;
            self.on.pooled(hidden, &batch, segment, normalize, vectors)
        })
    }

    /// Where memory is not there the buffers give back what they have, so that a smaller batch finds
    /// it.
    fn with_buffers<R>(
        &self,
        batch: &Ragged,
        pass: impl FnOnce(&mut Buffers<T>) -> Result<R>,
    ) -> Result<R> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = self.network.reserve(&self.on, batch.tokens(), &mut buffers.state);
        let result = reserved.and_then(|()| pass(&mut buffers));
        if let Err(Error::OutOfMemory { .. }) = result {
            *buffers = Buffers::default();
        }
        result
    }
}
