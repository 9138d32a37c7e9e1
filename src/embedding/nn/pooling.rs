//! How do the hidden states of a sequence become one vector?

use crate::device::cpu::ops::Segment;

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

    pub(super) fn segment(self) -> Segment {
        match self {
            Self::Mean => Segment::Mean,
            Self::Cls => Segment::First,
            Self::Last => Segment::Last,
            Self::Max => Segment::Max,
            Self::WeightedMean => Segment::WeightedMean,
        }
    }

    /// The pooling of that name, as [`Pooling::as_str`] spells it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::vector::Matrix;
    use crate::device::cpu::ops;

    #[test]
    fn names_and_poolings_go_both_ways() {
        for pooling in Pooling::ALL {
            assert_eq!(Pooling::parse(pooling.as_str()), Some(pooling));
        }
        assert_eq!(Pooling::parse("median"), None);
    }

    #[test]
    fn an_empty_sequence_gives_zeros_and_disturbs_no_neighbour() {
        let hidden = [3.0, 4.0, 1.0, 2.0, 3.0, 0.0];
        let pooled = |pooling: Pooling, normalize| {
            let values = ops::pool(&hidden, 2, &[0, 1, 1, 3], pooling.segment(), normalize);
            Matrix::new(values, 2).unwrap()
        };
        let mean = pooled(Pooling::Mean, false);
        assert_eq!(mean.as_slice(), [3.0, 4.0, 0.0, 0.0, 2.0, 1.0]);
        assert_eq!(pooled(Pooling::Cls, false).row(2), [1.0, 2.0]);
        assert_eq!(pooled(Pooling::Last, false).row(2), [3.0, 0.0]);
        assert_eq!(pooled(Pooling::Max, false).row(2), [3.0, 2.0]);
        let weighted = pooled(Pooling::WeightedMean, false);
        assert!((weighted.row(2)[0] - 7.0 / 3.0).abs() < 1e-6 && weighted.row(1) == [0.0, 0.0]);
        let unit = pooled(Pooling::Mean, true);
        assert_eq!((unit.row(0), unit.row(1)), (&[0.6, 0.8][..], &[0.0, 0.0][..]));
        assert!(ops::pool(&[], 2, &[0], Segment::Mean, true).is_empty());
    }
}
