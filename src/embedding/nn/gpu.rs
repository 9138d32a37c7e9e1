//! What does a network on a GPU make of a batch?

use std::sync::{Arc, Mutex, PoisonError};

use super::encoder::Opened;
use super::network::{Network, State};
use crate::base::error::{Error, Result};
use crate::device::Rows;
use crate::device::cpu::ops::{Segment, Tokens};
use crate::device::cuda::{
    Arena, Cuda, DeviceRows, Element, Flight, Graphs, OnCuda, Plan, Sequences, Slots,
};
use crate::embedding::token::Ragged;

/// A network whose weights and activations are in `T` on one GPU. A pass takes the whole batch, and two
/// may be in flight: the host waits only for what comes of one.
pub struct GpuNetwork<T: Element> {
    on: OnCuda<T>,
    network: Network<OnCuda<T>>,
    slots: Arc<Slots>,
    buffers: Mutex<Buffers<T>>,
}

/// What a pass leaves on the device for the next one. All passes share it, since the stream orders
/// them; what is replaced is given back when the passes in flight are done.
struct Buffers<T: Element> {
    state: State<OnCuda<T>>,
    /// What was sent of the batch.
    arena: Arena,
    graphs: Graphs,
}

impl<T: Element> GpuNetwork<T> {
    /// Brings the weights to the device, and computes one token: a size that no kernel takes is told
    /// here.
    pub fn load(opened: &Opened, cuda: &Arc<Cuda>) -> Result<Self> {
        let on = OnCuda::new(cuda.clone())?;
        let network = Network::load(&opened.encoder(&on)?, &opened.description)?;
        let (arena, graphs) = (on.arena()?, on.graphs()?);
        let buffers = Mutex::new(Buffers { state: State::default(), arena, graphs });
        let loaded = Self { on, network, slots: Slots::new(cuda)?, buffers };
        loaded.pooled(&Ragged::from_seqs([&[0][..]]), Segment::Mean, true)?;
        Ok(loaded)
    }

    /// The hidden state of every token: `[tokens, hidden]`.
    pub fn hidden(&self, batch: &Ragged) -> Result<Rows> {
        let mut flight = self.slots.take()?;
        self.forward(&mut flight, batch, |_, hidden, _| self.on.download(hidden))
    }

    /// One row a sequence: `[n * hidden]`, row-major.
    pub fn pooled(&self, batch: &Ragged, segment: Segment, normalize: bool) -> Result<Vec<f32>> {
        let mut flight = self.launch(batch, segment, normalize)?;
        let vectors = flight.fetch_vectors()?;
        Ok(flight.wait()?.values(&vectors).to_vec())
    }

    /// Begins to make one vector a sequence, and waits for nothing but a slot: see [`Slots::take`].
    pub fn launch(&self, batch: &Ragged, segment: Segment, normalize: bool) -> Result<Flight> {
        let mut flight = self.slots.take()?;
        self.forward(&mut flight, batch, |flight, hidden, sequences| {
            flight.pool(hidden, sequences, segment, normalize)
        })?;
        Ok(flight)
    }

    /// Whether the driver could not record what a pass launches.
    #[cfg(test)]
    pub fn refuses_graphs(&self) -> bool {
        self.buffers.lock().unwrap().graphs.refused()
    }

    /// Launches a pass, then what is to be done with its hidden states, `[tokens, hidden]`. Where
    /// memory is not there the buffers give back what they have, so that a smaller batch finds it.
    fn forward<R>(
        &self,
        flight: &mut Flight,
        batch: &Ragged,
        then: impl FnOnce(&mut Flight, &DeviceRows<T>, &Sequences) -> Result<R>,
    ) -> Result<R> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.pass(&mut buffers, flight, batch, then);
        if let Err(Error::OutOfMemory { .. }) = result {
            buffers.state = State::default();
        }
        result
    }

    fn pass<R>(
        &self,
        buffers: &mut Buffers<T>,
        flight: &mut Flight,
        batch: &Ragged,
        then: impl FnOnce(&mut Flight, &DeviceRows<T>, &Sequences) -> Result<R>,
    ) -> Result<R> {
        let (on, Buffers { state, arena, graphs }) = (&self.on, buffers);
        let plan = Plan::of(&batch.cu_seqlens);
        self.network.reserve(on, plan.frame.rows, state)?;
        self.network.prepare(on, batch, state)?;
        let State { scratch, places, turns } = state;
        let tokens = Tokens { ids: &batch.ids, types: &batch.types, places };
        let placed = on.place_batch(flight, arena, tokens, &batch.cu_seqlens, &plan)?;
        on.enqueue(graphs, &plan, || self.network.compute(on, &placed, turns, scratch))?;
        let hidden = self.network.hidden(scratch);
        hidden.resize(batch.tokens(), hidden.d());
        then(flight, hidden, &placed.sequences)
    }
}
