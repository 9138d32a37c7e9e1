//! Which row does a token begin as?

use rayon::prelude::*;

use super::norm::{Norm, ROWS_PER_TASK, add_row, norm_row};
use crate::device::{Cpu, InstructionSet, Rows};

/// The tables that a token's first row is read from.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `[vocab, d]`.
    pub words: Rows,
    /// `[token types, d]`.
    pub types: Option<Rows>,
    /// `[positions, d]`.
    pub positions: Option<Rows>,
    /// What a word's row is multiplied by.
    pub scale: f32,
}

/// What is known of each token of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// `[tokens]`, each below the vocabulary's size.
    pub ids: &'a [u32],
    /// `[tokens]`; one beyond the table counts as its last.
    pub types: &'a [u8],
    /// `[tokens]`: rows of the table of positions.
    pub places: &'a [u32],
}

/// out becomes `[tokens, d]`: `norm(scale word + type + position)`.
pub fn embed(
    cpu: &Cpu,
    table: &Embedding,
    tokens: Tokens<'_>,
    norm: Option<&Norm>,
    out: &mut Rows,
) {
    let (n, d) = (tokens.ids.len(), table.words.d());
    assert_eq!((tokens.types.len(), tokens.places.len()), (n, n), "a type and a place a token");
    out.resize(n, d);
    let set = cpu.instruction_set();
    out.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d).enumerate().for_each(|(task, rows)| {
        for (i, row) in rows.chunks_exact_mut(d).enumerate() {
            embed_row(set, table, &tokens, task * ROWS_PER_TASK + i, row);
            if let Some(norm) = norm {
                norm_row(set, row, norm);
            }
        }
    });
}

/// row: `[d]`.
fn embed_row(
    set: InstructionSet,
    table: &Embedding,
    tokens: &Tokens<'_>,
    i: usize,
    row: &mut [f32],
) {
    row.copy_from_slice(table.words.row(tokens.ids[i] as usize));
    if table.scale != 1.0 {
        row.iter_mut().for_each(|value| *value *= table.scale);
    }
    if let Some(types) = &table.types {
        let of = usize::from(tokens.types[i]).min(types.n() - 1);
        add_row(set, row, types.row(of));
    }
    if let Some(positions) = &table.positions {
        add_row(set, row, positions.row(tokens.places[i] as usize));
    }
}
