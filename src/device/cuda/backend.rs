//! The operations of a network on a GPU.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::batch::{BatchLayout, CudaBatch, DeviceTokens, Sequences};
use super::context::Cuda;
use super::element::Element;
use super::graph::Graphs;
use super::memory::{Arena, DeviceRows};
use super::slot::SlotGuard;
use super::staging::Staging;
use super::weights::{DeviceBias, DeviceCosSin, DeviceEmbedding, DeviceLinear, DeviceNorm};
use super::{attention, matmul, rows};
use crate::base::error::Result;
use crate::device::cpu::ops::{
    Activation, Attention, Embedding, Norm, Pooling, RelativeBias, Rotary, Tokens,
};
use crate::device::{Backend, Rows};

/// Page-locked memory of the host, through which weights go up and hidden states come down in
/// pieces.
const STAGING_BYTES: usize = 16 << 20;

/// More than any padded batch takes, so that the addresses in their graphs stay valid.
const ARENA_BYTES: usize = 256 << 10;

/// The minimum number of positions to compute cosines and sines for, so that few batches need more.
const POSITIONS_MIN: usize = 512;

/// The operations of a network on one GPU, with rows and weights in `T` and sums in f32.
pub struct OnCuda<T> {
    cuda: Arc<Cuda>,
    staging: Mutex<Staging>,
    /// How often memory that a pass uses was replaced, which changes the addresses of its launches.
    moves: AtomicUsize,
    element: PhantomData<T>,
}

impl<T: Element> OnCuda<T> {
    pub fn new(cuda: Arc<Cuda>) -> Result<Self> {
        let staging = Mutex::new(Staging::new(&cuda, STAGING_BYTES)?);
        Ok(Self { cuda, staging, moves: AtomicUsize::new(0), element: PhantomData })
    }

    /// The memory of batches, one after the other.
    pub fn arena(&self) -> Result<Arena> {
        Arena::new(&self.cuda, ARENA_BYTES)
    }

    /// The graphs of a network, valid as long as the memory that its launches use does not move.
    pub fn graphs(&self) -> Result<Graphs> {
        Graphs::new(&self.cuda)
    }

    /// Enqueues the launches of `launch` for a batch of this layout, as a graph if it is padded.
    pub fn enqueue(
        &self,
        graphs: &mut Graphs,
        layout: &BatchLayout,
        mut launch: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        if layout.padded {
            graphs.run(&self.cuda, layout.frame, self.moves.load(Ordering::Relaxed), launch)
        } else {
            launch()
        }
    }

    fn moved(&self, moved: bool) {
        self.moves.fetch_add(usize::from(moved), Ordering::Relaxed);
    }

    /// Sends a batch in one copy. Each part of `tokens`: `[tokens]`; cu_seqlens: `[n + 1]`; layout:
    /// made of `cu_seqlens`. It replaces the batch that was in `arena`.
    pub fn place_batch(
        &self,
        slot: &mut SlotGuard,
        arena: &mut Arena,
        tokens: Tokens<'_>,
        cu_seqlens: &[u32],
        layout: &BatchLayout,
    ) -> Result<CudaBatch> {
        let bytes = layout.bytes(cu_seqlens.len() - 1);
        self.moved(arena.reset_for(&self.cuda, tokens.ids.len(), bytes)?);
        let mut upload = slot.upload(arena, bytes)?;
        let tokens = DeviceTokens::place(&mut upload, tokens, layout.frame.rows)?;
        let sequences = Sequences::place(&mut upload, cu_seqlens, layout)?;
        upload.send()?;
        Ok(CudaBatch { tokens, sequences })
    }

    /// Pools each sequence of `hidden`, `[tokens, d]`, into the vectors of `slot`.
    pub fn pool(
        &self,
        slot: &mut SlotGuard,
        hidden: &DeviceRows<T>,
        sequences: &Sequences,
        pooling: Pooling,
        normalize: bool,
    ) -> Result<()> {
        let vectors = slot.reserve_vectors(sequences.n(), hidden.d())?;
        rows::tail(&self.cuda, hidden, sequences, pooling, normalize, vectors)
    }

    /// `[n, d]`, as f32, when everything launched before is done.
    pub fn download(&self, rows: &DeviceRows<T>) -> Result<Rows> {
        self.staging().download_rows(&self.cuda, rows)
    }

    /// A panic may leave a transfer half done; the next user of the buffer restarts it.
    fn staging(&self) -> MutexGuard<'_, Staging> {
        self.staging.lock()
    }

    /// Calls `place` with an arena of its own for buffers of these sizes, each in bytes.
    fn place<R>(
        &self,
        sizes: &[usize],
        place: impl FnOnce(&Cuda, &mut Staging, &mut Arena) -> Result<R>,
    ) -> Result<R> {
        let mut arena = Arena::new(&self.cuda, Arena::bytes_of(sizes))?;
        place(&self.cuda, &mut self.staging(), &mut arena)
    }
}

impl<T: Element> Backend for OnCuda<T> {
    type Rows = DeviceRows<T>;
    type Linear = DeviceLinear<T>;
    type Norm = DeviceNorm;
    type Embedding = DeviceEmbedding<T>;
    type RelativeBias = DeviceBias;
    type CosSin = Option<DeviceCosSin>;
    type Batch<'a> = CudaBatch;

    fn place_linear(
        &self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        inputs: usize,
    ) -> Result<DeviceLinear<T>> {
        let (weight, bias) = (Rows::new(weight, inputs), bias.as_deref());
        let sizes = [weight.as_slice(), bias.unwrap_or_default()].map(|part| size_of_val(part) / 2);
        self.place(&sizes, |cuda, staging, arena| {
            DeviceLinear::place(cuda, staging, arena, &weight, bias)
        })
    }

    fn place_norm(&self, norm: Norm) -> Result<DeviceNorm> {
        let sizes = [&norm.weight[..], norm.bias.as_deref().unwrap_or_default()].map(size_of_val);
        self.place(&sizes, |cuda, staging, arena| DeviceNorm::place(cuda, staging, arena, &norm))
    }

    fn place_embedding(&self, table: Embedding) -> Result<DeviceEmbedding<T>> {
        let tables = [
            Some(&table.word_embeddings),
            table.token_type_embeddings.as_ref(),
            table.position_embeddings.as_ref(),
        ];
        let sizes = tables.map(|rows| rows.map_or(0, |rows| size_of_val(rows.as_slice()) / 2));
        self.place(&sizes, |cuda, staging, arena| {
            DeviceEmbedding::place(cuda, staging, arena, &table)
        })
    }

    fn place_bias(&self, bias: RelativeBias) -> Result<DeviceBias> {
        let sizes = [size_of_val(bias.values.as_slice())];
        self.place(&sizes, |cuda, staging, arena| DeviceBias::place(cuda, staging, arena, &bias))
    }

    fn extend_cos_sin(
        &self,
        rotary: &Rotary,
        cos_sin: &mut Option<DeviceCosSin>,
        n: usize,
    ) -> Result<()> {
        if cos_sin.as_ref().is_none_or(|cos_sin| cos_sin.positions() < n) {
            let mut host = Rows::default();
            rotary.extend(&mut host, n.next_power_of_two().max(POSITIONS_MIN));
            let sizes = [size_of_val(host.as_slice())];
            *cos_sin = Some(self.place(&sizes, |cuda, staging, arena| {
                DeviceCosSin::place(cuda, staging, arena, &host)
            })?);
            self.moved(true);
        }
        Ok(())
    }

    fn reserve(&self, rows: &mut DeviceRows<T>, n: usize, d: usize) -> Result<()> {
        self.moved(rows.reserve(&self.cuda, n, d)?);
        Ok(())
    }

    fn embed(
        &self,
        table: &DeviceEmbedding<T>,
        batch: &CudaBatch,
        norm: Option<&DeviceNorm>,
        out: &mut DeviceRows<T>,
    ) -> Result<()> {
        out.resize(batch.tokens.n(), table.word_embeddings.d());
        rows::embed(&self.cuda, table, &batch.tokens, norm, out)
    }

    fn norm(&self, x: &DeviceRows<T>, norm: &DeviceNorm, out: &mut DeviceRows<T>) -> Result<()> {
        out.resize(x.n(), x.d());
        rows::norm(&self.cuda, x, norm, out)
    }

    fn residual(&self, x: &mut DeviceRows<T>, y: &DeviceRows<T>) -> Result<()> {
        rows::residual(&self.cuda, x, y)
    }

    fn residual_norm(
        &self,
        x: &mut DeviceRows<T>,
        y: &DeviceRows<T>,
        norm: &DeviceNorm,
    ) -> Result<()> {
        rows::residual_norm(&self.cuda, x, y, norm)
    }

    fn add_norm(
        &self,
        x: &mut DeviceRows<T>,
        y: &DeviceRows<T>,
        norm: &DeviceNorm,
        out: &mut DeviceRows<T>,
    ) -> Result<()> {
        out.resize(x.n(), x.d());
        rows::add_norm(&self.cuda, x, y, norm, out)
    }

    fn norm_heads(
        &self,
        x: &mut DeviceRows<T>,
        heads: Range<usize>,
        norm: &DeviceNorm,
    ) -> Result<()> {
        rows::norm_heads(&self.cuda, x, heads, norm)
    }

    fn rotary(
        &self,
        x: &mut DeviceRows<T>,
        heads: usize,
        head_dim: usize,
        cos_sin: &Option<DeviceCosSin>,
        batch: &CudaBatch,
    ) -> Result<()> {
        let cos_sin = cos_sin.as_ref().expect("cosines and sines are extended before a pass");
        rows::rotary(&self.cuda, x, heads, head_dim, cos_sin, &batch.tokens)
    }

    fn attention(
        &self,
        config: &Attention,
        qkv: &DeviceRows<T>,
        batch: &CudaBatch,
        bias: Option<&DeviceBias>,
        out: &mut DeviceRows<T>,
    ) -> Result<()> {
        out.resize(qkv.n(), config.heads * config.head_dim);
        attention::attention(&self.cuda, config, qkv, &batch.sequences, bias, out)
    }

    fn linear(
        &self,
        layer: &DeviceLinear<T>,
        x: &DeviceRows<T>,
        activation: Activation,
        out: &mut DeviceRows<T>,
    ) -> Result<()> {
        out.resize(x.n(), layer.outputs());
        matmul::linear(&self.cuda, layer, x, activation, out)
    }

    fn gated_linear(
        &self,
        layer: &DeviceLinear<T>,
        x: &DeviceRows<T>,
        activation: Activation,
        gate_up: &mut DeviceRows<T>,
        out: &mut DeviceRows<T>,
    ) -> Result<()> {
        gate_up.resize(x.n(), layer.outputs());
        out.resize(x.n(), layer.outputs() / 2);
        matmul::gated_linear(&self.cuda, layer, x, activation, gate_up, out)
    }
}
