//! A network on the CPU.

use parking_lot::Mutex;
use rayon::prelude::*;

use super::checkpoint::Checkpoint;
use super::network::{Network, State};
use crate::base::error::Result;
use crate::device::{Cpu, Rows};
use crate::embedding::token::Ragged;

/// Tokens of whole sequences that go through all layers together: their activations stay in the
/// cache of one core. Twice as many were slower in int8, half as many no faster.
pub const GROUP_TOKENS: usize = 256;

/// A network on the CPU, each of whose passes takes a group of whole sequences on one thread.
pub struct CpuNetwork {
    cpu: Cpu,
    network: Network<Cpu>,
    /// The buffers of earlier passes, one for each that ran at the same time.
    states: Mutex<Vec<State<Cpu>>>,
}

impl CpuNetwork {
    pub fn load(checkpoint: &Checkpoint, cpu: &Cpu) -> Result<Self> {
        let network = Network::load(&checkpoint.encoder(cpu)?, checkpoint.layers()?)?;
        Ok(Self { cpu: cpu.clone(), network, states: Mutex::default() })
    }

    /// The results of `then` for each group of whole sequences and its hidden states, `[tokens,
    /// hidden_dim]`, in the order of the sequences.
    pub fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        // Groups depend on the shapes alone, so that any number of threads computes the same bytes.
        let groups: Vec<_> = batch.batches(GROUP_TOKENS, usize::MAX).collect();
        let pass = |group: &Ragged| {
            let mut state = self.states.lock().pop().unwrap_or_default();
            self.network.reserve(&self.cpu, group.tokens(), &mut state)?;
            let hidden = self.network.forward(&self.cpu, group, &mut state)?;
            let result = then(group, hidden);
            self.states.lock().push(state);
            Ok(result)
        };
        match &groups[..] {
            // One group is split over all threads, operation by operation.
            [group] if self.cpu.threads() > 1 => Ok(vec![self.cpu.install_awake(|| pass(group))?]),
            groups => self.cpu.install(|| groups.par_iter().map(pass).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::embedding::nn::Cost;

    #[test]
    fn a_pass_takes_no_more_memory_than_was_reserved_for_it() {
        let cpu = Cpu::new(1).unwrap();
        let batch = Ragged::from_seqs([&[5_u32; 17][..], &[6; 30]]);
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for family in ["bert", "nomic_bert", "modernbert", "qwen3", "gemma3_text"] {
            let checkpoint = Checkpoint::open(&models.join(family)).unwrap();
            let CpuNetwork { network, .. } = CpuNetwork::load(&checkpoint, &cpu).unwrap();
            let cost = Cost::read(&models.join(family)).unwrap();
            let mut state = State::default();
            network.reserve(&cpu, batch.tokens(), &mut state).unwrap();
            let reserved = state.scratch.capacities();
            network.forward(&cpu, &batch, &mut state).unwrap();
            assert_eq!(state.scratch.capacities(), reserved, "{family}");
            let longest = GROUP_TOKENS.max(checkpoint.layers().unwrap().max_tokens);
            network.reserve(&cpu, longest, &mut state).unwrap();
            let held = size_of::<f32>() * state.scratch.capacities().iter().sum::<usize>();
            assert!(held as u64 <= cost.scratch_bytes(), "{family}: {held} bytes");
        }
    }
}
