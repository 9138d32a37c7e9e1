//! How do the hidden states of a sequence become one vector?

use crate::device::ops::{self, Segment};
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
    /// The greatest of each value over its tokens.
    Max,
    /// The mean over its tokens, in which token `i`, counted from 1, weighs `i`.
    WeightedMean,
}

impl Pooling {
    pub const ALL: [Self; 5] = [Self::Mean, Self::Cls, Self::Last, Self::Max, Self::WeightedMean];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::WeightedMean => "weightedmean",
        }
    }

    /// The pooling of that name, as [`Pooling::as_str`] spells it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

/// One vector a sequence, of length 1 if `normalize`; a sequence without tokens gives zeros.
///
/// hidden: `[tokens, d]`; cu_seqlens: `[n + 1]`; gives `[n, d]`.
pub fn pool(hidden: &Matrix, cu_seqlens: &[u32], pooling: Pooling, normalize: bool) -> Matrix {
    let segment = match pooling {
        Pooling::Mean => Segment::Mean,
        Pooling::Cls => Segment::First,
        Pooling::Last => Segment::Last,
        Pooling::Max => Segment::Max,
        Pooling::WeightedMean => Segment::WeightedMean,
    };
    let values = ops::pool(hidden.as_slice(), hidden.d(), cu_seqlens, segment, normalize);
    Matrix::new(values, hidden.d()).expect("pooling gives whole rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_poolings_go_both_ways() {
        for pooling in Pooling::ALL {
            assert_eq!(Pooling::parse(pooling.as_str()), Some(pooling));
        }
        assert_eq!(Pooling::parse("median"), None);
    }

    #[test]
    fn an_empty_sequence_gives_zeros_and_disturbs_no_neighbour() {
        let hidden = Matrix::new(vec![3.0, 4.0, 1.0, 2.0, 3.0, 0.0], 2).unwrap();
        let ends = [0, 1, 1, 3];
        let pooled = |pooling, normalize| pool(&hidden, &ends, pooling, normalize);
        let mean = pooled(Pooling::Mean, false);
        assert_eq!(mean.as_slice(), [3.0, 4.0, 0.0, 0.0, 2.0, 1.0]);
        assert_eq!(pooled(Pooling::Cls, false).row(2), [1.0, 2.0]);
        assert_eq!(pooled(Pooling::Last, false).row(2), [3.0, 0.0]);
        assert_eq!(pooled(Pooling::Max, false).row(2), [3.0, 2.0]);
        let weighted = pooled(Pooling::WeightedMean, false);
        assert!((weighted.row(2)[0] - 7.0 / 3.0).abs() < 1e-6 && weighted.row(1) == [0.0, 0.0]);
        let unit = pooled(Pooling::Mean, true);
        assert_eq!((unit.row(0), unit.row(1)), (&[0.6, 0.8][..], &[0.0, 0.0][..]));
        assert_eq!(pool(&Matrix::with_capacity(0, 2), &[0], Pooling::Mean, true).n(), 0);
    }
}
