//! Catalogs for tests.

mod damage;
mod facts;
mod processes;
mod readers;
mod round_trip;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    Catalog, CatalogWriter, ChunkRow, FileRow, FileRows, OccurrenceRow, RefRow, ShownChunk,
    SymbolRow,
};
use crate::base::hit::ChunkId;
use crate::corpus::chunk::SymbolKind;
use crate::corpus::source::{Channels, FileIdentity, FileKind};

/// A file of `chunk_count` chunks from `first`, with one definition and one reference in each.
fn whole(path: &str, language: &str, first: u32, chunk_count: u32) -> FileRows {
    let file = FileRow {
        path: path.to_owned(),
        root: "/repo".to_owned(),
        language: language.to_owned(),
        size_bytes: 1000 * u64::from(chunk_count),
        modified_ns: 1_700_000_000_123_456_789,
        hash: [chunk_count as u8; 32],
        lines: 10 * chunk_count,
        first_chunk: ChunkId(first),
        chunk_count,
        commit_id: Some("0123abcd".to_owned()),
        commit_time_s: Some(1_700_000_000),
        author: Some("Zoë \"Z\" O'Hara".to_owned()),
        indexed_at_s: 1_700_000_100,
        identity: FileIdentity { inode: 7, changed_ns: 1_700_000_000_123_456_789 },
        kind: FileKind::Generated,
        channels: Channels::Words,
        why: "minified".to_owned(),
        marks: "generated ".to_owned(),
        encoding: Some("UTF-16LE".to_owned()),
    };
    let ids = first..first + chunk_count;
    let symbol = |id: u32| SymbolRow {
        name: format!("name_{id}"),
        qualified: format!("{path}::name_{id}"),
        kind: SymbolKind::Function,
        signature: format!("fn name_{id}()"),
        doc: id.is_multiple_of(2).then(|| "What it does.".to_owned()),
        path: path.to_owned(),
        start_line: id + 1,
        end_line: id + 9,
        start_col: 4,
        chunk: ChunkId(id),
    };
    let occurrence = |id: u32| OccurrenceRow {
        symbol: format!("scheme . pkg . {path}/name_{id}()."),
        name: format!("name_{id}"),
        chunk: ChunkId(id),
        line: id + 1,
        start_col: 3,
        end_col: 9,
        is_definition: true,
    };
    FileRows {
        occurrences: ids.clone().map(occurrence).collect(),
        file,
        chunks: ids.clone().map(|id| chunk(path, language, id)).collect(),
        symbols: ids.clone().map(symbol).collect(),
        references: ids
            .map(|id| RefRow { name: "called".to_owned(), chunk: ChunkId(id), line: id + 3 })
            .collect(),
    }
}

fn chunk(path: &str, language: &str, id: u32) -> ChunkRow {
    ChunkRow {
        id: ChunkId(id),
        path: path.to_owned(),
        language: language.to_owned(),
        start_line: id + 1,
        end_line: id + 10,
        start_byte: id * 900,
        end_byte: id * 900 + 900,
        header: format!("{path}\nimpl Thing"),
        text: format!("fn name_{id}() {{\n    called();\n}}\n").repeat(20),
        enclosing: vec!["module".to_owned(), "Thing".to_owned()],
        signature: Some(format!("fn name_{id}()")),
        doc: None,
        hash: *blake3::hash(&id.to_le_bytes()).as_bytes(),
        tokens: 200,
    }
}

fn append(writer: &mut CatalogWriter, rows: &FileRows) {
    writer.append_file(rows.clone()).unwrap();
}

fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("catalog.duckdb")
}

fn write(path: &Path, files: &[FileRows]) {
    let mut writer = CatalogWriter::create(path).unwrap();
    files.iter().for_each(|file| append(&mut writer, file));
    writer.finish().unwrap();
}

/// A catalog of `files`, in a temporary folder.
fn catalog(files: &[FileRows]) -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    write(&path_in(&folder), files);
    let catalog = Catalog::open(&path_in(&folder)).unwrap();
    (folder, catalog)
}

/// What an answer shows of these chunks.
fn shown(chunks: &[ChunkRow]) -> Vec<ShownChunk> {
    let shown = |row: ChunkRow| ShownChunk {
        id: row.id,
        path: row.path,
        language: row.language,
        start_line: row.start_line,
        end_line: row.end_line,
        text: row.text,
        enclosing: row.enclosing,
        signature: row.signature,
    };
    chunks.iter().cloned().map(shown).collect()
}

fn ids(ids: &[u32]) -> Vec<ChunkId> {
    ids.iter().copied().map(ChunkId).collect()
}
