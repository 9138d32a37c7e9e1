//! Which row does a token begin as?

use rayon::prelude::*;

use super::norm::{Norm, ROWS_PER_TASK, add_norm_row};
use crate::device::{Device, Rows};

/// The tables that a token's first row is read from.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `[vocab, d]`.
    pub words: Rows,
    /// `[positions, d]`, with whatever else is the same for every token already added.
    pub positions: Rows,
}

/// out becomes `[tokens, d]`: `norm(words[id] + positions[place in its sequence])`.
///
/// ids: `[tokens]`, each below the vocabulary's size; cu_seqlens: `[n + 1]`, no sequence longer
/// than the table of positions.
pub fn embed_norm(
    device: &Device,
    table: &Embedding,
    ids: &[u32],
    cu_seqlens: &[u32],
    norm: &Norm,
    out: &mut Rows,
) {
    let d = table.words.d();
    out.resize(ids.len(), d);
    let set = device.instruction_set();
    out.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d).enumerate().for_each(|(task, rows)| {
        let first = task * ROWS_PER_TASK;
        // The sequence of the first token: the last one that begins at or before it and is not
        // empty.
        let mut seq = cu_seqlens.partition_point(|&start| start as usize <= first) - 1;
        for (i, row) in rows.chunks_exact_mut(d).enumerate() {
            let token = first + i;
            while cu_seqlens[seq + 1] as usize <= token {
                seq += 1;
            }
            row.copy_from_slice(table.words.row(ids[token] as usize));
            let position = token - cu_seqlens[seq] as usize;
            add_norm_row(set, row, table.positions.row(position), norm);
        }
    });
}
