//! Sequences of different lengths, packed without padding.

/// Sequences of token ids, packed: sequence `i` is `ids[cu_seqlens[i]..cu_seqlens[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged {
    /// Every sequence, one after the other: `[tokens]`.
    pub ids: Vec<u32>,
    /// Which of its two texts each token belongs to, as the model numbers them; 0 for a single
    /// text: `[tokens]`.
    pub token_type_ids: Vec<u8>,
    /// Where each sequence begins, and where the last one ends: `[n + 1]`, first 0, ascending.
    pub cu_seqlens: Vec<u32>,
    /// Which sequences are shorter than their text was: `[n]`.
    pub truncated: Vec<bool>,
    /// How many of its first tokens are a prompt that pooling leaves out: `[n]`.
    pub left_out: Vec<u32>,
}

impl Default for Ragged {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            token_type_ids: Vec::new(),
            cu_seqlens: vec![0],
            truncated: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

impl Ragged {
    /// Packs whole sequences, none of them truncated. Each item: `[its length]`.
    pub fn from_seqs<'a>(seqs: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut ragged = Self::default();
        for seq in seqs {
            ragged.push(seq, false);
        }
        ragged
    }

    /// Appends one sequence of a single text. seq: `[its length]`.
    pub fn push(&mut self, seq: &[u32], truncated: bool) {
        self.token_type_ids.resize(self.ids.len() + seq.len(), 0);
        self.append(seq, truncated);
    }

    /// Appends one sequence with the types of its tokens. seq, types: `[its length]`.
    pub fn push_typed(&mut self, seq: &[u32], types: &[u8], truncated: bool) {
        assert_eq!(seq.len(), types.len(), "a type for each token");
        self.token_type_ids.extend_from_slice(types);
        self.append(seq, truncated);
    }

    fn append(&mut self, seq: &[u32], truncated: bool) {
        self.ids.extend_from_slice(seq);
        let end = u32::try_from(self.ids.len()).expect("a batch holds fewer than 2^32 tokens");
        self.cu_seqlens.push(end);
        self.truncated.push(truncated);
        self.left_out.push(0);
    }

    /// Leaves the first `tokens` of the last sequence out of pooling.
    pub fn leave_out(&mut self, tokens: u32) {
        *self.left_out.last_mut().expect("a sequence was pushed") = tokens;
    }

    /// The same sequences in the same order, in batches of at most `seqs_max` sequences and of at
    /// most `tokens_max` tokens; a longer sequence is alone.
    pub fn batches(&self, tokens_max: usize, seqs_max: usize) -> impl Iterator<Item = Self> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let mut batch = Self::default();
            while next < self.n() && batch.n() < seqs_max {
                let (seq, types) = (self.seq(next), self.seq_types(next));
                if batch.n() > 0 && batch.tokens() + seq.len() > tokens_max {
                    break;
                }
                batch.push_typed(seq, types, self.truncated[next]);
                batch.leave_out(self.left_out[next]);
                next += 1;
            }
            Some(batch).filter(|batch| batch.n() > 0)
        })
    }

    /// The number of sequences.
    pub fn n(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    /// The tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The tokens of the longest sequence; 0 when there is none.
    pub fn max_len(&self) -> usize {
        self.cu_seqlens.windows(2).map(|ends| (ends[1] - ends[0]) as usize).max().unwrap_or(0)
    }

    /// The types of the tokens of sequence `i`: `[its length]`.
    pub fn seq_types(&self, i: usize) -> &[u8] {
        &self.token_type_ids[self.cu_seqlens[i] as usize..self.cu_seqlens[i + 1] as usize]
    }

    /// Sequence `i`: `[its length]`.
    pub fn seq(&self, i: usize) -> &[u32] {
        &self.ids[self.cu_seqlens[i] as usize..self.cu_seqlens[i + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_come_back_as_they_went_in() {
        let seqs: [&[u32]; 4] = [&[7], &[], &[1, 2, 3], &[9, 9]];
        let ragged = Ragged::from_seqs(seqs);
        assert_eq!((ragged.n(), ragged.tokens(), ragged.max_len()), (4, 6, 3));
        assert_eq!(ragged.cu_seqlens, [0, 1, 1, 4, 6]);
        for (i, seq) in seqs.iter().enumerate() {
            assert_eq!(ragged.seq(i), *seq);
        }
        let lengths = |tokens_max, seqs_max| {
            let batches = ragged.batches(tokens_max, seqs_max);
            batches.map(|batch| (batch.n(), batch.tokens())).collect::<Vec<_>>()
        };
        assert_eq!(lengths(100, 100), [(4, 6)]);
        assert_eq!(lengths(2, 100), [(2, 1), (1, 3), (1, 2)], "3 tokens are more than fit");
        assert_eq!(lengths(100, 3), [(3, 4), (1, 2)]);
        assert_eq!(Ragged::from_seqs([]).batches(1, 1).count(), 0);
        let none = Ragged::from_seqs([]);
        assert_eq!((none.n(), none.tokens(), none.max_len()), (0, 0, 0));
    }
}
