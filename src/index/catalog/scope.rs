//! ScopeSpec: restricts a search to paths and languages.

use std::collections::BTreeSet;

use super::reader::Catalog;
use super::rows::FileRow;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet};
use crate::corpus::source::GlobList;

/// What a search is restricted to. An empty one restricts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeSpec {
    /// Globs of paths, see [`GlobList`]; those with `!` exclude.
    pub globs: Vec<String>,
    /// Names of languages in upper or lower case; none means all of them.
    pub languages: Vec<String>,
}

impl ScopeSpec {
    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.languages.is_empty()
    }
}

/// The most languages that an error names.
const LANGUAGES_NAMED_MAX: usize = 5;

impl Catalog {
    /// The files in scope, sorted by path.
    pub fn files_in(&self, spec: &ScopeSpec) -> Result<Vec<FileRow>> {
        let globs = GlobList::new(&spec.globs)?;
        let languages = self.known_languages(&spec.languages)?;
        let mut files = self.files()?;
        files.retain(|file| {
            (languages.is_empty() || languages.contains(&file.language.to_lowercase()))
                && globs.matches(&file.path)
        });
        Ok(files)
    }

    /// The chunks in scope that are not deleted. A glob may match nothing, but a language without files
    /// is an error, because it is most likely misspelled.
    pub fn scope(&self, spec: &ScopeSpec) -> Result<ChunkSet> {
        let globs = GlobList::new(&spec.globs)?;
        let languages = self.known_languages(&spec.languages)?;
        let mut set = ChunkSet::none(self.universe());
        for span in self.file_spans()? {
            let in_language =
                languages.is_empty() || languages.contains(&span.language.to_lowercase());
            if in_language && globs.matches(&span.path) {
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
        let indexed: BTreeSet<&str> =
            self.file_spans()?.iter().map(|span| span.language.as_str()).collect();
        let known =
            |name: &&String| indexed.iter().any(|language| language.to_lowercase() == **name);
        match asked.iter().find(|name| !known(name)) {
            Some(unknown) => Err(unknown_language(unknown, &indexed)),
            None => Ok(asked),
        }
    }
}

fn unknown_language(asked: &str, indexed: &BTreeSet<&str>) -> Error {
    let mut nearest: Vec<&str> = indexed.iter().copied().collect();
    let distance = |name: &str| strsim::damerau_levenshtein(asked, &name.to_lowercase());
    nearest.sort_by_key(|name| distance(name));
    let more = nearest.len().saturating_sub(LANGUAGES_NAMED_MAX);
    nearest.truncate(LANGUAGES_NAMED_MAX);
    let expected = match (nearest.is_empty(), more) {
        (true, _) => "no language, because the index has no files".to_owned(),
        (_, 0) => format!("a language of this index: {}", nearest.join(", ")),
        _ => format!("a language of this index, such as {} ({more} more)", nearest.join(", ")),
    };
    Error::Argument { name: "language", value: format!("{asked:?}"), expected }
}
