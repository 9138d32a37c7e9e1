//! FileFacts: how central each file is, who works on it, what it documents and configures.

use std::collections::HashMap;

use duckdb::{Connection, Row, params, params_from_iter};

use super::duckdb_error::{read_error, write_error};
use super::reader::Catalog;
use super::rows::SymbolRow;
use super::writer::{CatalogWriter, append};
use crate::base::error::{Error, Result};

/// The table of facts, made again by each version that is written.
pub(super) const TABLE: &str = "
create table if not exists file_facts (
    path varchar not null, centrality double not null,
    commits uinteger not null, authors uinteger not null,
    main_author varchar, main_commits uinteger not null, code_owners varchar,
    definitions uinteger not null, documented uinteger not null, config_kind varchar);
";

/// The keys of notes about the facts, and their words.
pub mod note {
    /// The commits that were checked out when commits were counted.
    pub const HEADS: &str = "heads";
    /// Why older commits were not counted; empty if all were.
    pub const STOPPED: &str = "history_stopped";
    pub const STOPPED_LIMIT: &str = "limit";
    pub const STOPPED_TIME: &str = "time";
    pub const STOPPED_SHALLOW: &str = "shallow";
    /// Files that changed since the centrality was computed.
    pub const CENTRALITY_CHANGES: &str = "centrality_changes";
}

/// The facts about one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileFacts {
    /// A path of `files`, or of a hidden configuration file, which has only `config_kind`.
    pub path: String,
    /// PageRank in the graph of references; that of all files sums to 1.
    pub centrality: f64,
    /// Counted commits that touched the file.
    pub commits: u32,
    /// Different authors of these commits.
    pub authors: u32,
    /// The author of most of them.
    pub main_author: Option<String>,
    pub main_commits: u32,
    /// Owners by CODEOWNERS, with a space between them.
    pub code_owners: Option<String>,
    /// Public functions, methods and types.
    pub definitions: u32,
    /// Those of them that have a documentation comment.
    pub documented: u32,
    /// The word of a [`ConfigKind`](crate::corpus::source::ConfigKind).
    pub config_kind: Option<String>,
}

/// References from one file to the definitions of another. Files are numbered in the order of their
/// paths, from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FileEdge {
    pub from: u32,
    pub to: u32,
    /// About the number of names.
    pub weight: f64,
}

/// A definition, and how much it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct UsedSymbol {
    pub symbol: SymbolRow,
    /// The centrality of the other files that use its name, divided among the files that define it,
    /// and a tenth of it if the name is one word in lower case.
    pub centrality: f64,
}

/// Languages whose files use each other's definitions count as one.
const FAMILY: &str = "case when language in ('typescript', 'tsx', 'javascript') then 'javascript' \
    when language in ('c', 'cpp') then 'cpp' else language end";

/// Whether a row of `symbols` defines code of its own: neither a part of a type, a heading, a key, a
/// rule nor the name of a file.
const IS_CODE: &str = "kind not in ('field', 'variant', 'section', 'key', 'rule', 'module')";

/// Whether a definition can be meant in another file.
const IS_VISIBLE: &str = "(language <> 'rust' or starts_with(signature, 'pub') or kind = 'macro')";

/// How far a name is trusted to be that of its definition: one word in lower case is most often that
/// of a library or of a variable.
const TRUST: &str = "case when regexp_matches(name, '[A-Z_]') then 1.0 else 0.1 end";

/// Whether a definition is public, as far as its own line tells.
const IS_PUBLIC: &str = "case language when 'rust' then starts_with(signature, 'pub ') \
    when 'go' then regexp_matches(name, '^[A-Z]') \
    when 'java' then contains(signature, 'public ') \
    when 'csharp' then contains(signature, 'public ') \
    else not starts_with(name, '_') end";

/// The graph of references between files.
///
/// There is an edge for each name of three letters or more that the one file uses and the other
/// defines, in a language of the same family. Its weight is divided among the files that define the
/// name; a name that more than 20 define is ignored. A method counts if the file uses the name of its
/// type, too.
///
/// The file of a reference is found by its chunk: DuckDB plans the shorter asof join of rows that are
/// not committed yet as a nested loop, which takes seconds.
const EDGES: &str = "with
    file as (select row_number() over (order by path) - 1 as id, path, language,
        $family as family from files),
    def as (select distinct name, family, file.id as file, case when kind = 'method'
            then regexp_extract(qualified, '(\\w+)\\W+\\w+$', 1) else '' end as owner
        from symbols join file using (path)
        where length(name) > 2 and $is_code and $is_visible),
    wanted as (select name, family, count(distinct file) as n from def group by all having n <= 20),
    names as (select name from wanted union select owner from def where owner <> ''),
    uses as (select distinct name, family, file.id as file
        from symbol_refs semi join names using (name)
        join chunks on chunks.id = chunk_id join file using (path)),
    pair as (select uses.name, uses.file as source, def.file as target, def.owner, n
        from uses join wanted using (name, family) join def using (name, family)
        where uses.file <> def.file),
    found as (from pair where owner = '' union
        select pair.* from pair join uses on uses.name = pair.owner and uses.file = source),
    named as (select distinct name, source, target, n from found)
    select source::uinteger, target::uinteger, sum($trust / n)::double
    from named group by all order by all";

fn with_parts(sql: &str) -> String {
    let parts = [
        ("$family", FAMILY),
        ("$is_code", IS_CODE),
        ("$is_visible", IS_VISIBLE),
        ("$is_public", IS_PUBLIC),
        ("$trust", TRUST),
    ];
    parts.iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

impl FileFacts {
    const COLUMNS: &str = "path, centrality, commits, authors, main_author, main_commits, \
        code_owners, definitions, documented, config_kind";

    fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            path: row.get(0)?,
            centrality: row.get(1)?,
            commits: row.get(2)?,
            authors: row.get(3)?,
            main_author: row.get(4)?,
            main_commits: row.get(5)?,
            code_owners: row.get(6)?,
            definitions: row.get(7)?,
            documented: row.get(8)?,
            config_kind: row.get(9)?,
        })
    }

    fn append(&self, to: &mut duckdb::Appender<'_>) -> duckdb::Result<()> {
        to.append_row(params![
            self.path,
            self.centrality,
            self.commits,
            self.authors,
            self.main_author,
            self.main_commits,
            self.code_owners,
            self.definitions,
            self.documented,
            self.config_kind,
        ])
    }

    fn all(conn: &Connection) -> duckdb::Result<Vec<Self>> {
        let sql = format!("select {} from file_facts order by path", Self::COLUMNS);
        conn.prepare(&sql)?.query_map([], Self::read)?.collect()
    }
}

/// Public definitions of a file, and those with a documentation comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Documentation {
    pub definitions: u32,
    pub documented: u32,
}

impl CatalogWriter {
    /// The paths of all files, in the order of [`FileEdge`].
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.known.iter().cloned().collect();
        paths.sort_unstable();
        paths
    }

    /// The facts that the previous version had, sorted by path.
    pub fn facts(&self) -> Result<Vec<FileFacts>> {
        FileFacts::all(&self.conn).map_err(write_error(&self.path))
    }

    /// Replaces all facts.
    pub fn set_facts(&mut self, rows: &[FileFacts]) -> Result<()> {
        let write = || {
            self.conn.execute_batch("delete from file_facts")?;
            append(&self.conn, "file_facts", rows, FileFacts::append)
        };
        write().map_err(write_error(&self.path))
    }

    /// The value that [`CatalogWriter::set_note`] kept under `key`.
    pub fn note(&self, key: &str) -> Result<Option<String>> {
        note(&self.conn, key).map_err(write_error(&self.path))
    }

    /// Keeps a value with the catalog.
    pub fn set_note(&mut self, key: &str, value: &str) -> Result<()> {
        let write = || {
            self.conn.execute("delete from meta where key = ?", [key])?;
            self.conn.execute("insert into meta values (?, ?)", [key, value])
        };
        write().map(drop).map_err(write_error(&self.path))
    }

    /// The references between the files written so far.
    pub fn reference_graph(&mut self) -> Result<Vec<FileEdge>> {
        self.flush()?;
        let read = |row: &Row<'_>| {
            Ok(FileEdge { from: row.get(0)?, to: row.get(1)?, weight: row.get(2)? })
        };
        let run = || -> duckdb::Result<Vec<FileEdge>> {
            self.conn.prepare(&with_parts(EDGES))?.query_map([], read)?.collect()
        };
        run().map_err(write_error(&self.path))
    }

    /// How far the definitions written so far are documented, by path.
    pub fn documentation(&mut self) -> Result<HashMap<String, Documentation>> {
        self.flush()?;
        let sql = with_parts(
            "select path, count(*)::uinteger, count(doc)::uinteger \
             from symbols join (select path, language from files) using (path) \
             where $is_code and kind <> 'constant' and $is_public group by path",
        );
        let read = |row: &Row<'_>| {
            let found = Documentation { definitions: row.get(1)?, documented: row.get(2)? };
            Ok((row.get(0)?, found))
        };
        let run = || -> duckdb::Result<HashMap<String, Documentation>> {
            self.conn.prepare(&sql)?.query_map([], read)?.collect()
        };
        run().map_err(write_error(&self.path))
    }
}

fn note(conn: &Connection, key: &str) -> duckdb::Result<Option<String>> {
    let mut statement = conn.prepare("select value from meta where key = ?")?;
    statement.query_map([key], |row| row.get(0))?.next().transpose()
}

impl Catalog {
    /// The facts about all files, sorted by path. An index of an older release has none, which is
    /// `Unavailable`.
    pub fn facts(&self) -> Result<Vec<FileFacts>> {
        let sql = "select count(*) from duckdb_tables() where table_name = 'file_facts'";
        let tables: Vec<u64> = self.query(sql, [], |row| row.get(0))?;
        if tables == [0] {
            return Err(Error::Unavailable {
                what: "the table of facts".to_owned(),
                remedy: "an older release wrote this index; index again with \
                         `codeintel index --full`"
                    .to_owned(),
            });
        }
        self.pool.with(|conn| FileFacts::all(conn).map_err(read_error(self.path())))
    }

    /// The value that [`CatalogWriter::set_note`] kept under `key`.
    pub fn note(&self, key: &str) -> Result<Option<String>> {
        self.pool.with(|conn| note(conn, key).map_err(read_error(self.path())))
    }

    /// The definitions of code in `paths`, in their order, the most used of each file first.
    ///
    /// paths: any number of files.
    pub fn used_symbols(&self, paths: &[&str]) -> Result<Vec<UsedSymbol>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let marks: Vec<String> = (0..paths.len()).map(|at| format!("(?, {at})")).collect();
        let columns = SymbolRow::COLUMNS.split(',').map(|column| format!("own.{}", column.trim()));
        let columns: Vec<String> = columns.collect();
        let sql = with_parts(&format!(
            "with own as (select symbols.*, symbols.rowid as id, place \
                from symbols join (values {}) shown(path, place) using (path) where $is_code), \
             file as (select path, language, $family as family from files), \
             name as (select distinct name, family from own join file using (path)), \
             def as (select name, family, count(distinct path) as n \
                from symbols join file using (path) semi join name using (name, family) \
                where $is_code group by all), \
             ref as (select distinct name, family, path \
                from symbol_refs semi join name using (name) \
                join chunks on chunks.id = chunk_id join file using (path)), \
             used as (select own.id, any_value($trust / n) * sum(centrality) as score \
                from own join file using (path) join def using (name, family) \
                join ref on ref.name = own.name and ref.family = file.family \
                    and ref.path <> own.path \
                join file_facts on file_facts.path = ref.path where $is_visible group by own.id) \
             select {}, coalesce(score, 0)::double as score from own left join used using (id) \
             order by own.place, score desc, own.start_line, own.start_col",
            marks.join(","),
            columns.join(", "),
        ));
        self.query(&sql, params_from_iter(paths), |row| {
            let centrality = row.get(SymbolRow::COLUMNS.split(',').count())?;
            Ok(UsedSymbol { symbol: SymbolRow::read(row)?, centrality })
        })
    }
}
