//! Instruction sets, and the dispatch of loops that are compiled for each.

use crate::base::config::InstructionsChoice;

/// The instruction sets that every hot loop is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// The instructions of every processor of the target.
    Portable,
    /// AVX2 and FMA: 8 floats at a time.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 16 floats at a time.
    Avx512,
}

impl InstructionSet {
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The best one of this processor.
    pub fn detect() -> Self {
        let available = |set: &Self| set.is_available();
        Self::ALL.into_iter().rfind(available).unwrap_or(Self::Portable)
    }

    /// The one that the setting names.
    pub fn choose(choice: InstructionsChoice) -> Self {
        match choice {
            InstructionsChoice::Auto => Self::detect(),
            InstructionsChoice::Avx512 => Self::Avx512,
            InstructionsChoice::Avx2 => Self::Avx2,
            InstructionsChoice::Portable => Self::Portable,
        }
    }

    /// Whether this processor can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Compiles `body` once for each instruction set, and calls the build that `set` names.
///
/// The body is `#[inline(always)]` and generic over `const FMA: bool`: whether `a * b + c` may be
/// one instruction (on the portable path it would be a slow library call).
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis fn $name(set: $crate::device::InstructionSet, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $type),*) {
                $body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) {
                $body::<true>($($arg),*)
            }
            match set {
                // SAFETY: a set reaches the loops of `device` only from `Cpu::with_instructions`,
                // which refuses one that this processor lacks, or from `InstructionSet::detect`.
                #[cfg(target_arch = "x86_64")]
                $crate::device::InstructionSet::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::device::InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body::<false>($($arg),*),
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_set_is_everywhere_and_detection_gives_one_that_is_there() {
        assert!(InstructionSet::Portable.is_available());
        assert!(InstructionSet::detect().is_available());
    }
}
