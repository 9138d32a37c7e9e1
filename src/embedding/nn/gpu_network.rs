//! A network on a GPU.

use std::sync::Arc;

use parking_lot::Mutex;

use super::checkpoint::Checkpoint;
use super::network::{Network, State};
use crate::base::error::{Error, Result};
use crate::device::Rows;
use crate::device::cpu::ops::{Pooling, Tokens};
use crate::device::cuda::{
    Arena, BatchLayout, Cuda, DeviceRows, Element, Graphs, OnCuda, Sequences, SlotGuard, Slots,
};
use crate::embedding::token::Ragged;

/// A network whose weights and activations are in `T` on one GPU. A pass takes the whole batch, and
/// two may be in flight: the host waits only for the results of one.
pub struct GpuNetwork<T: Element> {
    on: OnCuda<T>,
    network: Network<OnCuda<T>>,
    slots: Arc<Slots>,
    buffers: Mutex<Buffers<T>>,
}

/// The buffers of a pass, kept for the next one. All passes share them, since the stream orders the
/// passes; a replaced buffer is freed when the passes in flight are done.
struct Buffers<T: Element> {
    state: State<OnCuda<T>>,
    /// The tokens and the sequences of the batch.
    arena: Arena,
    graphs: Graphs,
}

impl<T: Element> GpuNetwork<T> {
    /// Copies the weights to the device, and computes one token: a size without a kernel is an
    /// error here.
    pub fn load(checkpoint: &Checkpoint, cuda: &Arc<Cuda>) -> Result<Self> {
        let on = OnCuda::new(cuda.clone())?;
        let network = Network::load(&checkpoint.encoder(&on)?, checkpoint.layers()?)?;
        let (arena, graphs) = (on.arena()?, on.graphs()?);
        let buffers = Mutex::new(Buffers { state: State::default(), arena, graphs });
        let loaded = Self { on, network, slots: Slots::new(cuda)?, buffers };
        loaded.pooled(&Ragged::from_seqs([&[0][..]]), Pooling::Mean, true)?;
        Ok(loaded)
    }

    /// The hidden state of every token: `[tokens, hidden]`.
    pub fn hidden(&self, batch: &Ragged) -> Result<Rows> {
        let mut slot = self.slots.take()?;
        self.forward(&mut slot, batch, |_, hidden, _| self.on.download(hidden))
    }

    /// One vector for each sequence: `[n * hidden]`, row-major.
    pub fn pooled(&self, batch: &Ragged, pooling: Pooling, normalize: bool) -> Result<Vec<f32>> {
        let mut slot = self.launch(batch, pooling, normalize)?;
        let vectors = slot.read_back_vectors()?;
        Ok(slot.wait()?.values(&vectors).to_vec())
    }

    /// Starts to compute one vector for each sequence, and waits for nothing but a slot: see
    /// [`Slots::take`].
    pub fn launch(&self, batch: &Ragged, pooling: Pooling, normalize: bool) -> Result<SlotGuard> {
        let mut slot = self.slots.take()?;
        self.forward(&mut slot, batch, |slot, hidden, sequences| {
            self.on.pool(slot, hidden, sequences, pooling, normalize)
        })?;
        Ok(slot)
    }

    /// Whether the driver could not record the launches of a pass.
    #[cfg(test)]
    pub fn refuses_graphs(&self) -> bool {
        self.buffers.lock().graphs.refused()
    }

    /// Launches a pass, then `then` with its hidden states, `[tokens, hidden]`. If memory runs out,
    /// the buffers are freed, so that a smaller batch can have it.
    fn forward<R>(
        &self,
        slot: &mut SlotGuard,
        batch: &Ragged,
        then: impl FnOnce(&mut SlotGuard, &DeviceRows<T>, &Sequences) -> Result<R>,
    ) -> Result<R> {
        let mut buffers = self.buffers.lock();
        let result = self.pass(&mut buffers, slot, batch, then);
        if let Err(Error::OutOfMemory { .. }) = result {
            buffers.state = State::default();
        }
        result
    }

    fn pass<R>(
        &self,
        buffers: &mut Buffers<T>,
        slot: &mut SlotGuard,
        batch: &Ragged,
        then: impl FnOnce(&mut SlotGuard, &DeviceRows<T>, &Sequences) -> Result<R>,
    ) -> Result<R> {
        let (on, Buffers { state, arena, graphs }) = (&self.on, buffers);
        let layout = BatchLayout::new(&batch.cu_seqlens);
        self.network.reserve(on, layout.frame.rows, state)?;
        self.network.prepare(on, batch, state)?;
        let State { scratch, position_ids, cos_sin } = state;
        let tokens =
            Tokens { ids: &batch.ids, token_type_ids: &batch.token_type_ids, position_ids };
        let placed = on.place_batch(slot, arena, tokens, &batch.cu_seqlens, &layout)?;
        on.enqueue(graphs, &layout, || self.network.compute(on, &placed, cos_sin, scratch))?;
        let hidden = self.network.hidden(scratch);
        hidden.resize(batch.tokens(), hidden.d());
        then(slot, hidden, &placed.sequences)
    }
}
