//! Which names are one typing mistake away?

use fst::Automaton;

/// Matches names at most one edit from a word: one byte more, fewer or other, or two neighbours
/// swapped. A bit-parallel automaton (Wu and Manber 1992); bit `i` says that `i` bytes are matched.
pub(super) struct OneEdit {
    word: Vec<u8>,
}

/// Bits for no edit, for one edit, and for the middle of a swap.
#[derive(Clone, Copy)]
pub(super) struct State {
    exact: u64,
    edited: u64,
    swapping: u64,
}

impl OneEdit {
    /// `None` for a word too long for the bits.
    pub(super) fn new(word: &str) -> Option<Self> {
        (word.len() < 63).then(|| Self { word: word.as_bytes().to_vec() })
    }

    /// Bit `i` says that byte `i` of the word is `byte`.
    fn places(&self, byte: u8) -> u64 {
        self.word.iter().enumerate().map(|(i, b)| u64::from(*b == byte) << i).sum()
    }
}

impl Automaton for OneEdit {
    type State = State;

    fn start(&self) -> State {
        State { exact: 1, edited: 0b11, swapping: 0 }
    }

    fn is_match(&self, state: &State) -> bool {
        (state.exact | state.edited) >> self.word.len() & 1 == 1
    }

    fn can_match(&self, state: &State) -> bool {
        state.exact | state.edited | state.swapping != 0
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        let here = self.places(byte);
        let used = (1u64 << (self.word.len() + 1)) - 1;
        let exact = (state.exact & here) << 1;
        let kept = (state.edited & here) << 1;
        let other_byte = state.exact << 1;
        let more_byte = state.exact;
        let fewer_byte = exact << 1;
        // A swap: the byte after the next one comes first, then the next one.
        let swapped = (state.swapping & here) << 2;
        let swapping = state.exact & here >> 1;
        let edited = (kept | other_byte | more_byte | fewer_byte | swapped) & used;
        State { exact, edited, swapping }
    }
}

#[cfg(test)]
mod tests {
    use fst::{IntoStreamer, Set};

    use super::*;

    fn matches(word: &str, name: &str) -> bool {
        let set = Set::from_iter([name]).unwrap();
        let edit = OneEdit::new(word).unwrap();
        !set.search(edit).into_stream().into_strs().unwrap().is_empty()
    }

    #[test]
    fn one_edit_is_one_byte_more_fewer_or_other_or_two_swapped() {
        for (word, name, expected) in [
            ("pool", "pool", true),
            ("pool", "pol", true),
            ("pool", "ool", true),
            ("pool", "poo", true),
            ("pool", "pools", true),
            ("pool", "spool", true),
            ("pool", "tool", true),
            ("pool", "poll", true),
            ("pool", "opol", true),
            ("pool", "polo", true),
            ("pool", "pl", false),
            ("pool", "loop", false),
            ("pool", "poolses", false),
            ("pool", "", false),
            ("a", "", true),
            ("", "a", true),
        ] {
            assert_eq!(matches(word, name), expected, "{word} and {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_the_definition(word in "[ab]{0,6}", name in "[abc]{0,7}") {
            let expected = strsim::osa_distance(&word, &name) <= 1;
            proptest::prop_assert_eq!(matches(&word, &name), expected);
        }
    }
}
