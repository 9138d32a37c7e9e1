//! Chunker: splits a file into chunks and assigns its symbols and references to them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::grammar::Grammar;
use super::header::header;
use super::levels::complete;
use super::lines::{Lines, without_line_tails};
use super::outline::{Outline, Scope};
use super::script_blocks::{level_sections, script_blocks};
use super::splitter::{Piece, Splitter};
use super::{Reference, Symbol};
use crate::corpus::source::SourceFile;

/// Raise it when the same file would be cut into other chunks, or a chunk would hold other words: the
/// next run of an index then reads every file again.
pub(super) const CHUNKER_VERSION: u32 = 2;
/// A header takes at most `1 / HEADER_PART` of the tokens of a chunk.
const HEADER_PART: usize = 4;
const REFERENCES_PER_CHUNK_MAX: usize = 64;
/// Longer names are generated, shorter ones help nobody.
const NAME_BYTES_MAX: usize = 120;

/// Counts tokens as the embedding model does.
pub trait TokenCount: Sync {
    /// Tokens of each line, without special tokens. A line includes its line end.
    ///
    /// lines: `[n]`; returns `[n]`.
    fn count_lines(&self, lines: &[&str]) -> Vec<u32>;
}

/// The chunks, symbols and references of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChunks {
    /// In the order of the file; their texts, joined, are the file.
    pub chunks: Vec<Chunk>,
    /// In the order of the file.
    pub symbols: Vec<Symbol>,
    /// In the order of the file.
    pub references: Vec<Reference>,
}

/// A run of whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Counted from 1.
    pub start_line: u32,
    /// The last line, inclusive; counted from 1.
    pub end_line: u32,
    pub start_byte: u32,
    /// One past the last byte.
    pub end_byte: u32,
    /// The lines as they are in the file, line ends included.
    pub text: String,
    /// The comments and docstrings in `text`: ascending byte ranges that do not overlap.
    pub comments: Vec<Range<usize>>,
    pub header: String,
    /// The names of the definitions that enclose the first line, outermost first.
    pub enclosing: Vec<String>,
    /// The symbols that start in this chunk, as indices into [`FileChunks::symbols`].
    pub symbols: Vec<u32>,
    /// The signature of the first symbol that starts in this chunk and is no member of a type.
    pub signature: Option<String>,
    /// The documentation of that symbol.
    pub doc: Option<String>,
    /// BLAKE3 of the embedded text.
    pub hash: [u8; 32],
    /// Tokens of the embedded text: the sum over its lines, special tokens included.
    pub tokens: u32,
}

impl Chunk {
    /// The text that the model embeds.
    pub fn embedded_text(&self) -> String {
        embedded_text(&self.header, &self.text)
    }

    /// The text without its comments, and the comments, one a line; both without the tails of long lines.
    pub fn code_and_comments(&self) -> (String, String) {
        let (mut code, mut comments, mut end) = (String::new(), String::new(), 0);
        for range in &self.comments {
            code.push_str(&self.text[end..range.start]);
            // What a comment separates stays apart.
            code.push(' ');
            comments.push_str(&self.text[range.clone()]);
            comments.push('\n');
            end = range.end;
        }
        code.push_str(&self.text[end..]);
        (without_line_tails(&code).into_owned(), without_line_tails(&comments).into_owned())
    }
}

/// The text of a chunk that is embedded and hashed: its header, if it has one, then its lines, of which
/// long ones are cut.
pub fn embedded_text(header: &str, text: &str) -> String {
    let text = without_line_tails(text);
    if header.is_empty() { text.into_owned() } else { format!("{header}\n{text}") }
}

/// Splits files into chunks of a bounded number of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Chunker {
    tokens_max: usize,
    specials: usize,
}

impl Chunker {
    /// `tokens_max` bounds the tokens of a chunk, including its header and the `specials` tokens that the
    /// model adds to every text.
    pub fn new(tokens_max: usize, specials: usize) -> Self {
        Self { tokens_max, specials }
    }

    /// Splits one file. Every line is in exactly one chunk; an empty file has no chunks.
    pub fn chunk(&self, file: &SourceFile, tokens: &dyn TokenCount) -> FileChunks {
        let lines = Lines::new(&file.text);
        if lines.len() == 0 {
            return FileChunks::default();
        }
        let (mut outline, separator) = outline(file, &lines);
        complete(&mut outline.levels, &outline.marks, &lines);

        let headers = Headers::new(self, file, &outline.scopes, lines.len(), tokens);
        let short = without_line_tails(&file.text);
        let counts = tokens.count_lines(&short.split_inclusive('\n').collect::<Vec<_>>());
        assert_eq!(counts.len(), lines.len(), "count_lines returns one number per line");
        let splitter = Splitter::new(&outline.levels, &counts);
        let pieces = splitter.split(|line| headers.budget(line));

        let symbols = symbols(&outline, &pieces, separator);
        let mut chunks: Vec<Chunk> = pieces
            .iter()
            .map(|piece| headers.chunk(*piece, &lines, splitter.tokens(piece.start, piece.end)))
            .collect();
        for chunk in &mut chunks {
            chunk.comments = within(&outline.comments, chunk.start_byte, chunk.end_byte);
        }
        for (index, symbol) in symbols.iter().enumerate() {
            let chunk = &mut chunks[symbol.chunk as usize];
            if chunk.signature.is_none() && !symbol.kind.is_member() {
                chunk.signature = Some(symbol.signature.clone());
                chunk.doc = symbol.doc.clone();
            }
            chunk.symbols.push(index as u32);
        }
        FileChunks { references: references(&outline, &pieces, &lines), chunks, symbols }
    }
}

/// The definitions of a file, from top to bottom, as if the file were one chunk.
pub fn definitions(file: &SourceFile) -> Vec<Symbol> {
    let lines = Lines::new(&file.text);
    if lines.len() == 0 {
        return Vec::new();
    }
    let (outline, separator) = outline(file, &lines);
    symbols(&outline, &[Piece { start: 0, end: lines.len() }], separator)
}

/// The outline of a file, and what separates the parts of a qualified name in it.
fn outline(file: &SourceFile, lines: &Lines<'_>) -> (Outline, &'static str) {
    let blocks = script_blocks(file, lines);
    let (language, ranges) = match &blocks {
        Some(blocks) => (blocks.language, blocks.ranges.as_slice()),
        None => (file.language, [].as_slice()),
    };
    let grammar = Grammar::for_language(language);
    let tree = grammar.and_then(|grammar| Some((grammar, grammar.parse(&file.text, ranges)?)));
    let mut outline = match &tree {
        Some((grammar, tree)) => Outline::from_tree(tree, grammar, lines),
        None => Outline::plain(lines),
    };
    if blocks.is_some() {
        level_sections(&mut outline.levels, lines);
    }
    (outline, grammar.map_or(".", Grammar::separator))
}

/// The headers of a file's chunks: one per scope, computed on first use.
struct Headers<'a> {
    chunker: &'a Chunker,
    path: &'a str,
    scopes: &'a [Scope],
    /// For each line the innermost scope that starts before it and contains it: `[lines]`.
    innermost: Vec<Option<u32>>,
    tokens: &'a dyn TokenCount,
    /// Header and its tokens, by scope.
    computed: RefCell<HashMap<Option<u32>, (String, u64)>>,
}

impl<'a> Headers<'a> {
    fn new(
        chunker: &'a Chunker,
        file: &'a SourceFile,
        scopes: &'a [Scope],
        lines: usize,
        tokens: &'a dyn TokenCount,
    ) -> Self {
        Self {
            chunker,
            path: file.path.as_str(),
            scopes,
            innermost: innermost(scopes, lines),
            tokens,
            computed: RefCell::default(),
        }
    }

    /// Tokens left for the lines of a chunk that starts at `line`.
    fn budget(&self, line: usize) -> u64 {
        let room = self.chunker.tokens_max.saturating_sub(self.chunker.specials) as u64;
        room.saturating_sub(self.with(line, |(_, tokens)| *tokens)).max(1)
    }

    fn with<T>(&self, line: usize, read: impl FnOnce(&(String, u64)) -> T) -> T {
        let scope = self.innermost[line];
        let mut computed = self.computed.borrow_mut();
        read(computed.entry(scope).or_insert_with(|| {
            let room = self.chunker.tokens_max.saturating_sub(self.chunker.specials);
            let signature = scope.map(|scope| self.scopes[scope as usize].signature.as_str());
            let names = names(self.scopes, scope);
            header(self.path, &names, signature, (room / HEADER_PART) as u64, |text| {
                // The text follows on a new line, so the last line of a header has a line end too.
                let text = format!("{text}\n");
                let lines: Vec<&str> = text.split_inclusive('\n').collect();
                self.tokens.count_lines(&lines).into_iter().map(u64::from).sum()
            })
        }))
    }

    fn chunk(&self, piece: Piece, lines: &Lines<'_>, tokens: u64) -> Chunk {
        let text = lines.slice(piece.start, piece.end).to_owned();
        let (header, header_tokens) = self.with(piece.start, Clone::clone);
        let hash = blake3::hash(embedded_text(&header, &text).as_bytes()).into();
        let tokens = tokens + header_tokens + self.chunker.specials as u64;
        Chunk {
            start_line: piece.start as u32 + 1,
            end_line: piece.end as u32,
            start_byte: lines.starts[piece.start],
            end_byte: lines.starts[piece.end],
            enclosing: names(self.scopes, self.innermost[piece.start]),
            symbols: Vec::new(),
            signature: None,
            doc: None,
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            text,
            comments: Vec::new(),
            header,
            hash,
        }
    }
}

/// The parts of `ranges` between two bytes, counted from the first one.
fn within(ranges: &[Range<u32>], start: u32, end: u32) -> Vec<Range<usize>> {
    let first = ranges.partition_point(|range| range.end <= start);
    let inside = ranges[first..].iter().take_while(|range| range.start < end);
    inside
        .map(|range| {
            (range.start.max(start) - start) as usize..(range.end.min(end) - start) as usize
        })
        .collect()
}

/// For each of `lines` lines the innermost scope that starts before it and contains it.
fn innermost(scopes: &[Scope], lines: usize) -> Vec<Option<u32>> {
    let mut innermost = vec![None; lines];
    // Of two scopes that contain a line the later one is the inner one, and it ends no later.
    let (mut open, mut next): (Vec<usize>, usize) = (Vec::new(), 0);
    for (line, slot) in innermost.iter_mut().enumerate() {
        while scopes.get(next).is_some_and(|scope| scope.first_line < line) {
            open.push(next);
            next += 1;
        }
        while open.last().is_some_and(|scope| scopes[*scope].end_line < line) {
            open.pop();
        }
        *slot = open.last().map(|scope| *scope as u32);
    }
    innermost
}

/// The names from the outermost scope to `innermost`.
fn names(scopes: &[Scope], innermost: Option<u32>) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = innermost.map(|scope| scope as usize);
    while let Some(scope) = at {
        names.push(scopes[scope].name.clone());
        names.extend(scopes[scope].owner.clone());
        at = scopes[scope].parent;
    }
    names.reverse();
    names
}

/// The index of the piece that contains `line`.
fn piece_of(pieces: &[Piece], line: usize) -> usize {
    pieces.partition_point(|piece| piece.end <= line).min(pieces.len().saturating_sub(1))
}

fn symbols(outline: &Outline, pieces: &[Piece], separator: &str) -> Vec<Symbol> {
    let symbol = |scope: &Scope| {
        let mut qualified = names(&outline.scopes, scope.parent.map(|parent| parent as u32));
        qualified.extend(scope.owner.clone());
        qualified.push(scope.name.clone());
        Some(Symbol {
            name: scope.name.clone(),
            qualified: qualified.join(separator),
            kind: scope.kind?,
            signature: scope.signature.clone(),
            doc: scope.doc.clone(),
            start_line: scope.start_line as u32 + 1,
            end_line: scope.end_line as u32 + 1,
            start_col: scope.start_col as u32,
            chunk: piece_of(pieces, scope.start_line) as u32,
        })
    };
    let all = outline.scopes.iter().chain(&outline.members);
    let mut symbols: Vec<Symbol> = all.filter_map(symbol).collect();
    symbols.sort_by_key(|symbol| (symbol.start_line, symbol.start_col));
    symbols
}

fn references(outline: &Outline, pieces: &[Piece], lines: &Lines<'_>) -> Vec<Reference> {
    let mut references = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut current = 0;
    for used in &outline.uses {
        let chunk = piece_of(pieces, used.line as usize);
        if chunk != current {
            seen.clear();
            current = chunk;
        }
        let name = lines.text.get(used.start as usize..used.end as usize).unwrap_or_default();
        let is_name =
            (2..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_whitespace);
        if seen.len() < REFERENCES_PER_CHUNK_MAX && is_name && seen.insert(name) {
            let (name, line) = (name.to_owned(), used.line + 1);
            references.push(Reference { name, line, chunk: chunk as u32 });
        }
    }
    references
}
