//! The penalty of a definition's kind in the symbol channel.

use crate::base::hit::Score;
use crate::corpus::chunk::SymbolKind;

/// The penalty to subtract from the score of a definition of this kind. It only orders definitions
/// that match equally well, because the steps between two kinds of match are larger.
pub fn penalty(kind: SymbolKind) -> Score {
    use SymbolKind::*;
    match kind {
        Function | Method | Class | Struct | Trait | Key | Rule => 0.0,
        Enum | Type | Macro | Module | Constant => 0.001,
        Section | Field | Variant => 0.002,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::symbols::rung;

    #[test]
    fn a_weaker_kind_orders_equal_matches_and_never_beats_a_better_match() {
        assert!(penalty(SymbolKind::Function) < penalty(SymbolKind::Enum));
        assert!(penalty(SymbolKind::Enum) < penalty(SymbolKind::Section));
        for kind in SymbolKind::ALL {
            assert!(penalty(*kind) < rung::EXACT - rung::QUALIFIED, "{kind}");
        }
    }
}
