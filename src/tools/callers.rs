//! Callers: the uses of definitions, the uses of the definitions that contain those, and so on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::file_uri;
use super::identifier::column_of;
use super::impact::{CallerItem, is_test_item};
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::corpus::source::{Language, RepoPath};
use crate::corpus::time_limit::TimeLimit;
use crate::index::catalog::SymbolRow;
use crate::index::words::parts;
use crate::search::Searcher;

/// A name that is used in more chunks than this is not followed: it says too little.
const USES_MAX: usize = 1000;
/// The longest time of following uses.
const FOLLOW_MAX: Duration = Duration::from_secs(10);

/// A definition whose uses are wanted. lines: `None` if it is no longer there.
pub(super) struct Wanted {
    pub name: String,
    pub qualified: String,
    pub path: String,
    pub lines: Option<(u32, u32)>,
}

/// Follows the uses of names, from definition to definition.
pub(super) struct Callers<'a> {
    searcher: &'a Searcher,
    time: TimeLimit<'a>,
    /// The definitions of the files that were met.
    symbols: HashMap<String, Vec<SymbolRow>>,
    /// What was followed already: symbols of `index.scip`, or names with language and owner.
    followed: HashSet<String>,
    /// Whether a file contains a word.
    names: HashMap<(String, String), bool>,
}

/// The uses of a definition.
struct Uses {
    /// Chunk and line.
    places: Vec<(ChunkId, u32)>,
    /// What a file names that uses this definition, and not another one of the same name.
    owner: Option<String>,
}

impl Wanted {
    /// The type or the module that a use from elsewhere names: what encloses the definition, or else
    /// its file.
    fn owner(&self) -> Option<&str> {
        let enclosing = self.qualified.strip_suffix(&self.name)?;
        let enclosing = enclosing.trim_end_matches([':', '.']);
        if !enclosing.is_empty() {
            return enclosing.rsplit([':', '.']).next();
        }
        let mut parts = self.path.rsplit('/');
        let stem = parts.next()?.split('.').next()?;
        match stem {
            "mod" | "__init__" | "index" => parts.next(),
            "lib" | "main" => None,
            stem => Some(stem),
        }
    }
}

impl<'a> Callers<'a> {
    /// At most ten seconds are spent on following uses.
    pub fn new(searcher: &'a Searcher, cx: &'a RunContext) -> Self {
        let (symbols, followed, names) = Default::default();
        Self { searcher, time: TimeLimit::new(cx, FOLLOW_MAX), symbols, followed, names }
    }

    /// The uses up to `depth` calls away, nearest first, sorted by path and line.
    pub fn follow(
        &mut self,
        mut wanted: Vec<Wanted>,
        depth: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<CallerItem>> {
        let mut found: Vec<CallerItem> = Vec::new();
        let mut seen: HashSet<(String, String)> = HashSet::new();
        let mut too_common = Vec::new();
        'depths: for depth in 1..=depth {
            let mut next = Vec::new();
            for wanted in wanted {
                if self.time.is_over()? {
                    notes.push("the time was over before every caller was found".to_owned());
                    break 'depths;
                }
                let Some(uses) = self.uses(&wanted)? else { continue };
                if uses.places.len() > USES_MAX {
                    too_common.push(wanted.name);
                    continue;
                }
                for (chunk, line) in uses.places {
                    let Some((item, symbol)) = self.item(&wanted, chunk, line, depth)? else {
                        continue;
                    };
                    if !self.may_mean(&wanted, &item.path, uses.owner.as_deref())? {
                        continue;
                    }
                    let within = item.within.clone().unwrap_or_default();
                    if !seen.insert((item.path.clone(), within)) {
                        continue;
                    }
                    if let Some(symbol) = symbol.filter(|_| !is_test_item(&item)) {
                        next.push(symbol);
                    }
                    found.push(item);
                }
            }
            wanted = next;
        }
        drop_imports(&mut found);
        if !too_common.is_empty() {
            notes.push(format!(
                "not followed, because they are used in more than {USES_MAX} places: {}; references_at \
                 lists them",
                too_common.join(", ")
            ));
        }
        found.sort_by(|a, b| (a.depth, &a.path, a.line).cmp(&(b.depth, &b.path, b.line)));
        Ok(found)
    }

    /// The uses of a definition, by its symbols in `index.scip` or else by its name; `None` if they were
    /// followed already.
    fn uses(&mut self, wanted: &Wanted) -> Result<Option<Uses>> {
        let catalog = self.searcher.catalog();
        let mut symbols = Vec::new();
        if let Some((start, end)) = wanted.lines {
            for found in catalog.scip_definitions(&wanted.name)? {
                let is_here = (start..=end).contains(&found.line)
                    && catalog.file_of(found.chunk)?.is_some_and(|file| file.path == wanted.path);
                if is_here && self.followed.insert(found.symbol.clone()) {
                    symbols.push(found.symbol);
                }
            }
        }
        if !symbols.is_empty() {
            let found = catalog.occurrences_of(&symbols, false, USES_MAX + 1)?;
            let places = found.into_iter().map(|row| (row.chunk, row.line)).collect();
            return Ok(Some(Uses { places, owner: None }));
        }
        // A word such as `other` is a variable more often than not.
        let is_word = parts(&wanted.name).count() == 1;
        let is_ambiguous = is_word || catalog.symbols_named(&wanted.name)?.len() > 1;
        let owner = wanted.owner().filter(|_| is_ambiguous).map(str::to_owned);
        let family = language_family(&wanted.path);
        let key = format!("{family} {} {}", owner.as_deref().unwrap_or_default(), wanted.name);
        if !self.followed.insert(key) {
            return Ok(None);
        }
        let found = catalog.references(&wanted.name, USES_MAX + 1)?;
        let places = found.into_iter().map(|row| (row.chunk, row.line)).collect();
        Ok(Some(Uses { places, owner }))
    }

    /// Whether a use of the name in the file `path` may be one of the definition: of an ambiguous name
    /// only in files that name its owner, too.
    fn may_mean(&mut self, wanted: &Wanted, path: &str, owner: Option<&str>) -> Result<bool> {
        let Some(owner) = owner.filter(|_| path != wanted.path) else { return Ok(true) };
        let key = (path.to_owned(), owner.to_owned());
        if let Some(known) = self.names.get(&key) {
            return Ok(*known);
        }
        let catalog = self.searcher.catalog();
        let Some(file) = catalog.file(path)? else { return Ok(false) };
        let chunks = catalog.rows_in(file.first_chunk.0..file.first_chunk.0 + file.chunk_count)?;
        let names = chunks.iter().any(|chunk| column_of(&chunk.text, owner).is_some());
        self.names.insert(key, names);
        Ok(names)
    }

    /// The code that a reference is in, and its name to follow; `None` if it is the definition itself
    /// or code of another language.
    fn item(
        &mut self,
        wanted: &Wanted,
        chunk: ChunkId,
        line: u32,
        depth: usize,
    ) -> Result<Option<(CallerItem, Option<Wanted>)>> {
        let Some(file) = self.searcher.catalog().file_of(chunk)? else { return Ok(None) };
        let path = file.path.clone();
        let is_inside = |(start, end): (u32, u32)| (start..=end).contains(&line);
        let is_itself = path == wanted.path && wanted.lines.is_some_and(is_inside);
        if is_itself || language_family(&path) != language_family(&wanted.path) {
            return Ok(None);
        }
        if !self.symbols.contains_key(&path) {
            self.symbols.insert(path.clone(), self.searcher.catalog().symbols_in(&path)?);
        }
        let around = self.symbols[&path]
            .iter()
            .filter(|s| !s.kind.is_member() && is_inside((s.start_line, s.end_line)));
        let symbol = around.min_by_key(|symbol| symbol.end_line - symbol.start_line);
        let on_disk = self.searcher.roots().find(&path);
        let item = CallerItem {
            uri: on_disk.and_then(|file| file_uri(&file, Some((line, line)))),
            line,
            within: symbol.map(|symbol| symbol.qualified.clone()),
            uses: wanted.qualified.clone(),
            depth,
            path: path.clone(),
        };
        let next = symbol.map(|symbol| Wanted {
            name: symbol.name.clone(),
            qualified: symbol.qualified.clone(),
            lines: Some((symbol.start_line, symbol.end_line)),
            path,
        });
        Ok(Some((item, next)))
    }
}

/// Uses at the top of a file that also uses the same definition in code are imports.
fn drop_imports(found: &mut Vec<CallerItem>) {
    let in_code = found.iter().filter(|item| item.within.is_some());
    let in_code: HashSet<_> = in_code.map(|item| (item.path.clone(), item.uses.clone())).collect();
    let key = |item: &CallerItem| (item.path.clone(), item.uses.clone());
    found.retain(|item| item.within.is_some() || !in_code.contains(&key(item)));
}

/// Files whose code can call each other have the same family.
fn language_family(path: &str) -> &'static str {
    match Language::detect(&RepoPath::new(path), "").name() {
        "typescript" | "tsx" | "javascript" => "javascript",
        "c" | "cpp" => "c",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_definition_is_its_type_or_its_file() {
        let owner = |qualified: &str, path: &str| {
            let name = qualified.rsplit([':', '.']).next().unwrap().to_owned();
            let (qualified, path) = (qualified.to_owned(), path.to_owned());
            Wanted { name, qualified, path, lines: None }.owner().map(str::to_owned)
        };
        assert_eq!(owner("net::Pool::get", "src/a.rs").as_deref(), Some("Pool"));
        assert_eq!(owner("Pool.get", "a.py").as_deref(), Some("Pool"));
        assert_eq!(owner("run", "src/tools/fetch.rs").as_deref(), Some("fetch"));
        assert_eq!(owner("run", "src/tools/mod.rs").as_deref(), Some("tools"));
        assert_eq!(owner("run", "src/main.rs"), None);
    }
}
