//! Embedding lookup: the initial hidden state of each token.

use rayon::prelude::*;

use super::norm::{Norm, ROWS_PER_TASK, add_row, norm_row};
use crate::device::{Cpu, InstructionSet, Rows};

/// The tables that the initial hidden states are read from.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `[vocab, d]`.
    pub word_embeddings: Rows,
    /// `[token types, d]`.
    pub token_type_embeddings: Option<Rows>,
    /// `[positions, d]`.
    pub position_embeddings: Option<Rows>,
    /// The factor of the word embeddings.
    pub scale: f32,
}

/// The tokens of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// `[tokens]`, each below the vocabulary's size.
    pub ids: &'a [u32],
    /// `[tokens]`; an id beyond the table counts as its last.
    pub token_type_ids: &'a [u8],
    /// `[tokens]`: rows of the position embeddings.
    pub position_ids: &'a [u32],
}

/// out becomes `[tokens, d]`: `norm(scale * word + token type + position)`.
pub fn embed(
    cpu: &Cpu,
    table: &Embedding,
    tokens: Tokens<'_>,
    norm: Option<&Norm>,
    out: &mut Rows,
) {
    let (n, d) = (tokens.ids.len(), table.word_embeddings.d());
    assert_eq!(
        (tokens.token_type_ids.len(), tokens.position_ids.len()),
        (n, n),
        "a token type and a position for each token"
    );
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
    row.copy_from_slice(table.word_embeddings.row(tokens.ids[i] as usize));
    if table.scale != 1.0 {
        row.iter_mut().for_each(|value| *value *= table.scale);
    }
    if let Some(types) = &table.token_type_embeddings {
        let token_type = usize::from(tokens.token_type_ids[i]).min(types.n() - 1);
        add_row(set, row, types.row(token_type));
    }
    if let Some(positions) = &table.position_embeddings {
        add_row(set, row, positions.row(tokens.position_ids[i] as usize));
    }
}
