//! Our layers with the operations of candle.

use parking_lot::Mutex;

use super::checkpoint::Checkpoint;
use super::network::{Network, State};
use crate::base::error::Result;
use crate::device::candle::CandleBatch;
use crate::device::cpu::ops::Tokens;
use crate::device::{Candle, Rows};
use crate::embedding::token::Ragged;

/// A network on a device of candle. A pass takes the whole batch.
pub struct CandleNetwork {
    on: Candle,
    network: Network<Candle>,
    /// The tables of earlier passes.
    state: Mutex<State<Candle>>,
}

impl CandleNetwork {
    pub fn load(checkpoint: &Checkpoint, on: &Candle) -> Result<Self> {
        let network = Network::load(&checkpoint.encoder(on)?, checkpoint.layers()?)?;
        Ok(Self { on: on.clone(), network, state: Mutex::default() })
    }

    /// The hidden state of every token: `[tokens, hidden]`.
    pub fn hidden(&self, batch: &Ragged) -> Result<Rows> {
        if batch.tokens() == 0 {
            return Ok(Rows::default());
        }
        let mut state = self.state.lock();
        self.network.prepare(&self.on, batch, &mut state)?;
        let State { scratch, position_ids, cos_sin } = &mut *state;
        let Ragged { ids, token_type_ids, cu_seqlens, .. } = batch;
        let tokens = Tokens { ids, token_type_ids, position_ids };
        let hidden = self.on.host.install(|| {
            let batch = CandleBatch::upload(&self.on, tokens, cu_seqlens)?;
            self.network.compute(&self.on, &batch, cos_sin, scratch)?;
            self.on.download(self.network.hidden(scratch).tensor())
        });
        // candle takes new memory in each pass.
        *scratch = Default::default();
        hidden
    }
}
