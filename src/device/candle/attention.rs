//! Attention of packed sequences, one after the other.

use std::ops::Range;

use candle_core::{Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use crate::device::cpu::ops::Attention;

/// Queries whose scores are held at the same time: with 12 heads and 8,192 keys, 200 MB.
const QUERIES_PER_BLOCK: usize = 512;

/// `softmax(scale q k^T + bias) v` of each sequence: `[tokens, heads * head_dim]`.
///
/// qkv: `[tokens, config.row_dim()]`; cu_seqlens: `[n + 1]`; bias: `[heads, 2 * reach + 1]`, by the
/// distance between key and query.
pub fn attention(
    config: &Attention,
    qkv: &Tensor,
    cu_seqlens: &[u32],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let mut contexts = Vec::new();
    for ends in cu_seqlens.windows(2).filter(|ends| ends[0] < ends[1]) {
        let (start, len) = (ends[0] as usize, (ends[1] - ends[0]) as usize);
        let sequence = Sequence::split(config, &qkv.narrow(0, start, len)?)?;
        for first in (0..len).step_by(QUERIES_PER_BLOCK) {
            let queries = first..len.min(first + QUERIES_PER_BLOCK);
            contexts.push(sequence.attend(config, queries, bias)?);
        }
    }
    Tensor::cat(&contexts, 0)
}

/// Queries, keys and values of one sequence: `[heads, len, head_dim]` each.
struct Sequence {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    len: usize,
}

impl Sequence {
    /// rows: `[len, config.row_dim()]`.
    fn split(config: &Attention, rows: &Tensor) -> Result<Self> {
        let Attention { heads, heads_kv, head_dim, scale, .. } = *config;
        let len = rows.dim(0)?;
        let part = |first: usize, n: usize| {
            let rows = rows.narrow(1, first * head_dim, n * head_dim)?;
            rows.reshape((len, n, head_dim))?.transpose(0, 1)?.contiguous()
        };
        // Each head of keys and values serves several consecutive heads of queries.
        let shared = |part: Tensor| {
            let served = heads / heads_kv;
            let wide = part.unsqueeze(1)?.expand((heads_kv, served, len, head_dim))?;
            wide.reshape((heads, len, head_dim))
        };
        Ok(Self {
            q: (part(0, heads)? * f64::from(scale))?,
            k: shared(part(heads, heads_kv)?)?,
            v: shared(part(heads + heads_kv, heads_kv)?)?,
            len,
        })
    }

    /// The output for some queries: `[queries, heads * head_dim]`.
    fn attend(
        &self,
        config: &Attention,
        queries: Range<usize>,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let keys = config.mask.keys(&queries, 0, self.len);
        let q = self.q.narrow(1, queries.start, queries.len())?;
        let k = self.k.narrow(1, keys.start, keys.len())?;
        let mut scores = q.matmul(&k.transpose(1, 2)?)?;
        if let Some(bias) = bias {
            scores = (scores + distances(bias, &queries, &keys)?)?;
        }
        if let Some(hidden) = hidden_keys(config, &queries, &keys, self.len) {
            let mask = Tensor::from_vec(hidden, (queries.len(), keys.len()), q.device())?;
            scores = scores.broadcast_add(&mask.to_dtype(q.dtype())?)?;
        }
        let v = self.v.narrow(1, keys.start, keys.len())?.contiguous()?;
        let context = softmax_last_dim(&scores)?.matmul(&v)?;
        context.transpose(0, 1)?.reshape((queries.len(), config.heads * config.head_dim))
    }
}

/// The bias of each query and key: `[heads, queries, keys]`. bias: `[heads, 2 * reach + 1]`.
fn distances(bias: &Tensor, queries: &Range<usize>, keys: &Range<usize>) -> Result<Tensor> {
    let (heads, columns) = bias.dims2()?;
    let reach = (columns / 2) as isize;
    let column = |query: usize, key: usize| {
        (reach + (key as isize - query as isize).clamp(-reach, reach)) as u32
    };
    let pairs = queries.clone().flat_map(|query| keys.clone().map(move |key| (query, key)));
    let columns: Vec<u32> = pairs.map(|(query, key)| column(query, key)).collect();
    let columns = Tensor::new(columns, bias.device())?;
    bias.index_select(&columns, 1)?.reshape((heads, queries.len(), keys.len()))
}

/// What is added to each score, `[queries, keys]`: minus infinity where the query does not see the
/// key; `None` if all see all.
fn hidden_keys(
    config: &Attention,
    queries: &Range<usize>,
    keys: &Range<usize>,
    len: usize,
) -> Option<Vec<f32>> {
    let seen = |query: usize| config.mask.keys(&(query..query + 1), 0, len);
    if queries.clone().all(|query| seen(query) == *keys) {
        return None;
    }
    let row = |query: usize| {
        let seen = seen(query);
        keys.clone().map(move |key| if seen.contains(&key) { 0.0 } else { f32::NEG_INFINITY })
    };
    Some(queries.clone().flat_map(row).collect())
}
