//! Which chunks may a search find?

use std::collections::BTreeSet;

use super::globs::GlobList;
use super::read::Catalog;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet};

/// What a search is restricted to; the empty one is everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeSpec {
    /// Paths, as [`GlobList`] reads them; those with `!` are excluded.
    pub globs: Vec<String>,
    /// Names of languages, in any case; none means all of them.
    pub languages: Vec<String>,
}

impl ScopeSpec {
    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.languages.is_empty()
    }
}

/// Languages that an error names.
const LANGUAGES_NAMED_MAX: usize = 5;

impl Catalog {
    /// The chunks that are not deleted and in scope. A glob may match nothing; a language that no
    /// file is in is refused, because it is a slip more often than a wish.
    pub fn scope(&self, spec: &ScopeSpec) -> Result<ChunkSet> {
        let globs = GlobList::new(&spec.globs)?;
        let languages = self.known_languages(&spec.languages)?;
        let mut set = ChunkSet::none(self.universe());
        for span in self.file_spans()? {
            let spoken = languages.is_empty() || languages.contains(&span.language.to_lowercase());
            if spoken && globs.matches(&span.path) {
                span.ids().for_each(|id| set.insert(ChunkId(id)));
            }
        }
        Ok(set)
    }

    fn known_languages(&self, asked: &[String]) -> Result<BTreeSet<String>> {
        let asked: BTreeSet<String> = asked.iter().map(|name| name.trim().to_lowercase()).collect();
        if asked.is_empty() {
            return Ok(asked);
        }
        let here: BTreeSet<&str> =
            self.file_spans()?.iter().map(|span| span.language.as_str()).collect();
        let known = |name: &&String| here.iter().any(|have| have.to_lowercase() == **name);
        match asked.iter().find(|name| !known(name)) {
            Some(unknown) => Err(unknown_language(unknown, &here)),
            None => Ok(asked),
        }
    }
}

fn unknown_language(asked: &str, here: &BTreeSet<&str>) -> Error {
    let mut nearest: Vec<&str> = here.iter().copied().collect();
    let distance = |name: &str| strsim::damerau_levenshtein(asked, &name.to_lowercase());
    nearest.sort_by_key(|name| distance(name));
    let more = nearest.len().saturating_sub(LANGUAGES_NAMED_MAX);
    nearest.truncate(LANGUAGES_NAMED_MAX);
    let expected = match (nearest.is_empty(), more) {
        (true, _) => "no language, because the index holds no file".to_owned(),
        (_, 0) => format!("a language of this index: {}", nearest.join(", ")),
        _ => format!("a language of this index, such as {} ({more} more)", nearest.join(", ")),
    };
    Error::Argument { name: "language", value: format!("{asked:?}"), expected }
}
