//! The definition factor: the chunk defines what the query names or speaks of.

use serde::Serialize;

use super::Subject;
use super::learnt::{DEFINITION_COVERED, DEFINITION_NAMED};

/// What the definitions of a chunk have to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Definition {
    /// The chunk defines an identifier of the query.
    pub named: bool,
    /// The greatest share of the query's terms that is in one defined name, 0 to 1.
    pub covered: f64,
}

impl Definition {
    /// names: those that the chunk defines.
    pub fn of<'a>(subject: &Subject, names: impl Iterator<Item = &'a str>) -> Self {
        let (mut named, mut covered) = (false, 0f64);
        for name in names {
            named |= subject.names(name);
            covered = covered.max(subject.covered_by(name));
        }
        Self { named, covered: if subject.is_exact && !named { 0.0 } else { covered } }
    }

    /// At least 1.
    pub fn factor(self) -> f64 {
        let named = if self.named { DEFINITION_NAMED } else { 0.0 };
        (1.0 + named) * (1.0 + DEFINITION_COVERED * self.covered)
    }
}
