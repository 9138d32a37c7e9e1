//! How does each token of a sequence look at the others?

use rayon::prelude::*;

use super::math;
use super::matmul::{Shared, View};
use crate::device::{Device, InstructionSet, Rows};

/// Queries of one task: its scores are `[QUERIES_PER_TASK, length]`, 128 KiB at 512 tokens,
/// whatever the length of the sequence or of the batch.
const QUERIES_PER_TASK: usize = 64;

/// One task: some queries of one head of one sequence.
struct Task {
    /// Rows of the sequence in the batch.
    start: usize,
    end: usize,
    /// The first row of its queries.
    query: usize,
    head: usize,
}

/// out becomes `[tokens, heads * head_dim]`: `softmax(q k^T / sqrt(head_dim)) v`, each sequence
/// alone.
///
/// qkv: `[tokens, 3 * heads * head_dim]`, all queries of a token, then its keys, then its values;
/// cu_seqlens: `[n + 1]`.
pub fn attention(device: &Device, qkv: &Rows, cu_seqlens: &[u32], heads: usize, out: &mut Rows) {
    let d = qkv.d() / 3;
    assert!(
        heads > 0 && d.is_multiple_of(heads) && qkv.d() == 3 * d,
        "{heads} heads in rows of {}",
        qkv.d()
    );
    let last = cu_seqlens.last().map_or(0, |&end| end as usize);
    assert_eq!(last, qkv.n(), "cu_seqlens end where the rows end");
    out.resize(qkv.n(), d);
    let set = device.instruction_set();
    let tasks = tasks(cu_seqlens, heads);
    let shared = Shared::new(out.as_mut_slice(), d);
    tasks.par_iter().for_each_init(Vec::new, |scores, task| {
        one(set, qkv, task, d / heads, scores, &shared);
    });
}

fn tasks(cu_seqlens: &[u32], heads: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for ends in cu_seqlens.windows(2) {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        for query in (start..end).step_by(QUERIES_PER_TASK) {
            tasks.extend((0..heads).map(|head| Task { start, end, query, head }));
        }
    }
    tasks
}

fn one(
    set: InstructionSet,
    qkv: &Rows,
    task: &Task,
    head_dim: usize,
    scores: &mut Vec<f32>,
    out: &Shared<'_>,
) {
    let d = qkv.d() / 3;
    let queries = task.query..(task.query + QUERIES_PER_TASK).min(task.end);
    let part = |rows, third: usize| {
        let col = third * d + task.head * head_dim;
        View::new(qkv.as_slice(), 3 * d, rows, col..col + head_dim)
    };
    let (q, k, v) =
        (part(queries.clone(), 0), part(task.start..task.end, 1), part(task.start..task.end, 2));
    let (n, length) = (queries.len(), task.end - task.start);
    scores.resize(n * length, 0.0);
    let weights = Shared::new(scores, length);
    // SAFETY: the only tile of this task's own buffer; it ends before the weights are read below.
    let mut tile = unsafe { weights.tile(0..n, 0..length) };
    tile.product(q, k.transposed(), 1.0 / (head_dim as f32).sqrt());
    let mut scales = [0.0; QUERIES_PER_TASK];
    for (i, scale) in scales[..n].iter_mut().enumerate() {
        exp_row(set, tile.row(i), scale);
    }
    let col = task.head * head_dim;
    // SAFETY: tasks differ in their queries or in their head.
    let mut context = unsafe { out.tile(queries, col..col + head_dim) };
    context.product(View::new(scores, length, 0..n, 0..length), v, 1.0);
    for (i, &scale) in scales[..n].iter().enumerate() {
        context.row(i).iter_mut().for_each(|value| *value *= scale);
    }
}

multiversion! {
    /// Each score becomes `e^(score - greatest)`, and `scale` one over their sum. row: `[length]`.
    fn exp_row(row: &mut [f32], scale: &mut f32) = exp_row_body
}

#[inline(always)]
fn exp_row_body<const FMA: bool>(row: &mut [f32], scale: &mut f32) {
    let greatest = math::max(row);
    for value in row.iter_mut() {
        *value = math::exp::<FMA>(*value - greatest);
    }
    *scale = 1.0 / math::sum::<FMA>(row);
}
