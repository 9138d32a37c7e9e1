//! How does a file become chunks?

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::grammar::Compiled;
use super::header::header;
use super::levels::complete;
use super::lines::Lines;
use super::outline::{Outline, Scope};
use super::split::{Piece, Splitter};
use super::{Reference, Symbol};
use crate::corpus::source::SourceFile;

/// A header takes at most this part of the tokens of a chunk.
const HEADER_PART: usize = 4;
const REFERENCES_PER_CHUNK_MAX: usize = 64;
/// Longer names in use were written by a program, shorter ones are no help.
const NAME_BYTES_MAX: usize = 120;
/// A text of longer lines on average was written by a program: its tree would tell nothing.
const LINE_BYTES_MEAN_MAX: usize = 400;

/// Counts tokens in the way of the embedding model.
pub trait TokenCount: Sync {
    /// Tokens of each line without special tokens. A line comes with its line end.
    ///
    /// lines: `[n]`; returns `[n]`.
    fn count_lines(&self, lines: &[&str]) -> Vec<u32>;
}

/// All that is kept of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChunks {
    /// In the order of the file: their texts joined are the file.
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
    /// Counted from 1; the last line, included.
    pub end_line: u32,
    pub start_byte: u32,
    /// The byte behind the last.
    pub end_byte: u32,
    /// The lines as they are in the file, line ends included.
    pub text: String,
    pub header: String,
    /// The names of the definitions that the chunk starts inside of, outermost first.
    pub enclosing: Vec<String>,
    /// The symbols that start here, as places in [`FileChunks::symbols`].
    pub symbols: Vec<u32>,
    /// Of the first symbol that starts here.
    pub signature: Option<String>,
    /// Of the first symbol that starts here.
    pub doc: Option<String>,
    /// BLAKE3 of the embedded text.
    pub hash: [u8; 32],
    /// Tokens of the embedded text, special tokens included, as the sum of those of its lines.
    pub tokens: u32,
}

impl Chunk {
    /// What the model reads: the header, then the text.
    pub fn embedded_text(&self) -> String {
        embedded_text(&self.header, &self.text)
    }
}

fn embedded_text(header: &str, text: &str) -> String {
    if header.is_empty() { text.to_owned() } else { format!("{header}\n{text}") }
}

/// Cuts files into chunks of a number of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Chunker {
    tokens_max: usize,
    specials: usize,
}

impl Chunker {
    /// `tokens_max`: tokens of a chunk with its header and with the `specials` tokens that the model
    /// adds to every text.
    pub fn new(tokens_max: usize, specials: usize) -> Self {
        Self { tokens_max, specials }
    }

    /// Cuts one file. Every line is in exactly one chunk. A text of no bytes has none.
    pub fn chunk(&self, file: &SourceFile, tokens: &dyn TokenCount) -> FileChunks {
        let lines = Lines::new(&file.text);
        if lines.len() == 0 {
            return FileChunks::default();
        }
        let compiled = match file.text.len() / lines.len() <= LINE_BYTES_MEAN_MAX {
            true => Compiled::of(file.language),
            false => None,
        };
        let tree = compiled.and_then(|compiled| Some((compiled, compiled.parse(&file.text)?)));
        let mut outline = match &tree {
            Some((compiled, tree)) => Outline::of_tree(tree, compiled, &lines),
            None => Outline::plain(&lines),
        };
        complete(&mut outline.levels, &outline.marks, &lines);

        let headers = Headers::new(self, file, &outline.scopes, lines.len(), tokens);
        let counts = tokens.count_lines(&lines.all());
        assert_eq!(counts.len(), lines.len(), "count_lines gives one number a line");
        let splitter = Splitter::new(&outline.levels, &counts);
        let pieces = splitter.split(|line| headers.budget(line));

        let separator = compiled.map_or(".", |compiled| compiled.grammar.separator);
        let symbols = symbols(&outline.scopes, &pieces, separator);
        let mut chunks: Vec<Chunk> = pieces
            .iter()
            .map(|piece| headers.chunk(*piece, &lines, splitter.tokens(piece.start, piece.end)))
            .collect();
        for (place, symbol) in symbols.iter().enumerate() {
            let chunk = &mut chunks[symbol.chunk as usize];
            if chunk.symbols.is_empty() {
                chunk.signature = Some(symbol.signature.clone());
                chunk.doc = symbol.doc.clone();
            }
            chunk.symbols.push(place as u32);
        }
        FileChunks { references: references(&outline, &pieces, &lines), chunks, symbols }
    }
}

/// The headers of a file's chunks: one a scope, made when first asked for.
struct Headers<'a> {
    chunker: &'a Chunker,
    path: &'a str,
    scopes: &'a [Scope],
    /// The innermost scope that starts before a line and holds it: `[lines]`.
    innermost: Vec<Option<u32>>,
    tokens: &'a dyn TokenCount,
    made: RefCell<HashMap<Option<u32>, (String, u64)>>,
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
            made: RefCell::default(),
        }
    }

    /// Tokens for the lines of a chunk that starts at `line`.
    fn budget(&self, line: usize) -> u64 {
        let room = self.chunker.tokens_max.saturating_sub(self.chunker.specials) as u64;
        room.saturating_sub(self.with(line, |(_, tokens)| *tokens)).max(1)
    }

    fn with<T>(&self, line: usize, read: impl FnOnce(&(String, u64)) -> T) -> T {
        let scope = self.innermost[line];
        let mut made = self.made.borrow_mut();
        read(made.entry(scope).or_insert_with(|| {
            let room = self.chunker.tokens_max.saturating_sub(self.chunker.specials);
            let signature = scope.map(|scope| self.scopes[scope as usize].signature.as_str());
            let names = names(self.scopes, scope);
            header(self.path, &names, signature, (room / HEADER_PART) as u64, |text| {
                // The last line of a header is followed by a line end, too.
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
            header,
            hash,
        }
    }
}

/// For each of `lines` lines the innermost scope that starts before it and holds it.
fn innermost(scopes: &[Scope], lines: usize) -> Vec<Option<u32>> {
    let mut innermost = vec![None; lines];
    // A later scope is an inner one where two hold a line; its end is no later than the outer's.
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

/// The names from the outermost scope to this one.
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

/// The piece that holds `line`.
fn place(pieces: &[Piece], line: usize) -> usize {
    pieces.partition_point(|piece| piece.end <= line).min(pieces.len().saturating_sub(1))
}

fn symbols(scopes: &[Scope], pieces: &[Piece], separator: &str) -> Vec<Symbol> {
    let symbol = |(i, scope): (usize, &Scope)| {
        Some(Symbol {
            name: scope.name.clone(),
            qualified: names(scopes, Some(i as u32)).join(separator),
            kind: scope.kind?,
            signature: scope.signature.clone(),
            doc: scope.doc.clone(),
            start_line: scope.start_line as u32 + 1,
            end_line: scope.end_line as u32 + 1,
            start_col: scope.start_col as u32,
            chunk: place(pieces, scope.start_line) as u32,
        })
    };
    let mut symbols: Vec<Symbol> = scopes.iter().enumerate().filter_map(symbol).collect();
    symbols.sort_by_key(|symbol| (symbol.start_line, symbol.start_col));
    symbols
}

fn references(outline: &Outline, pieces: &[Piece], lines: &Lines<'_>) -> Vec<Reference> {
    let mut references = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut current = 0;
    for used in &outline.uses {
        let chunk = place(pieces, used.line as usize);
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
