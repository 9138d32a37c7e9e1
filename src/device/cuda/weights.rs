//! The weights of a network in device memory.

use super::context::Cuda;
use super::element::Element;
use super::memory::{Arena, Buffer, DeviceRows};
use super::staging::Staging;
use crate::base::error::Result;
use crate::device::Rows;
use crate::device::cpu::ops::{Embedding, Norm, NormKind, RelativeBias};

/// A norm and its weights, which stay f32.
pub struct DeviceNorm {
    kind: NormKind,
    weight: Buffer<f32>,
    bias: Option<Buffer<f32>>,
    eps: f32,
}

/// `NormParams` of kernels/common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct NormParams {
    weight: u64,
    bias: u64,
    eps: f32,
    centered: i32,
}

impl DeviceNorm {
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        norm: &Norm,
    ) -> Result<Self> {
        let bias = norm.bias.as_ref().map(|bias| staging.place(cuda, arena, bias)).transpose()?;
        let weight = staging.place(cuda, arena, &norm.weight)?;
        Ok(Self { kind: norm.kind, weight, bias, eps: norm.eps })
    }

    pub fn d(&self) -> usize {
        self.weight.len()
    }

    pub(super) fn params(&self, cuda: &Cuda) -> NormParams {
        NormParams {
            weight: self.weight.pointer(cuda),
            bias: self.bias.as_ref().map_or(0, |bias| bias.pointer(cuda)),
            eps: self.eps,
            centered: i32::from(self.kind == NormKind::Layer),
        }
    }
}

/// The tables that the initial hidden states are read from.
pub struct DeviceEmbedding<T> {
    /// `[vocab, d]`.
    pub(super) word_embeddings: DeviceRows<T>,
    /// `[token types, d]`.
    pub(super) token_type_embeddings: Option<DeviceRows<T>>,
    /// `[positions, d]`.
    pub(super) position_embeddings: Option<DeviceRows<T>>,
    pub(super) scale: f32,
}

impl<T: Element> DeviceEmbedding<T> {
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        table: &Embedding,
    ) -> Result<Self> {
        let mut rows = |rows: &Rows| staging.place_rows(cuda, arena, rows);
        Ok(Self {
            word_embeddings: rows(&table.word_embeddings)?,
            token_type_embeddings: table
                .token_type_embeddings
                .as_ref()
                .map(&mut rows)
                .transpose()?,
            position_embeddings: table.position_embeddings.as_ref().map(&mut rows).transpose()?,
            scale: table.scale,
        })
    }
}

/// A linear layer `y = x W^T + b`.
pub struct DeviceLinear<T> {
    /// `[outputs, inputs]`.
    pub(super) weight: DeviceRows<T>,
    /// `[outputs]`.
    pub(super) bias: Option<Buffer<T>>,
}

impl<T: Element> DeviceLinear<T> {
    /// weight: `[outputs, inputs]`, row-major; bias: `[outputs]`.
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        weight: &Rows,
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let bias = bias.map(|bias| {
            assert_eq!(bias.len(), weight.n(), "a bias for each output");
            let values: Vec<T> = bias.iter().map(|value| T::from_f32(*value)).collect();
            staging.place(cuda, arena, &values)
        });
        let bias = bias.transpose()?;
        Ok(Self { weight: staging.place_rows(cuda, arena, weight)?, bias })
    }

    pub fn inputs(&self) -> usize {
        self.weight.d()
    }

    pub fn outputs(&self) -> usize {
        self.weight.n()
    }
}

/// The cosines and sines of each position, by `Rotary::extend`: they stay f32.
pub struct DeviceCosSin {
    /// `[positions, 2 * pairs]`.
    pub(super) values: Buffer<f32>,
    pub(super) positions: usize,
    pub(super) pairs: usize,
}

impl DeviceCosSin {
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        cos_sin: &Rows,
    ) -> Result<Self> {
        let values = staging.place(cuda, arena, cos_sin.as_slice())?;
        Ok(Self { values, positions: cos_sin.n(), pairs: cos_sin.d() / 2 })
    }

    /// Positions below this have their values.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// The bias of each score by the distance between key and query: it stays f32.
pub struct DeviceBias {
    /// `[heads, 2 * reach + 1]`.
    pub(super) values: Buffer<f32>,
    pub(super) heads: usize,
    pub(super) reach: usize,
}

impl DeviceBias {
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        bias: &RelativeBias,
    ) -> Result<Self> {
        let values = staging.place(cuda, arena, bias.values.as_slice())?;
        Ok(Self { values, heads: bias.values.n(), reach: bias.values.d() / 2 })
    }
}
