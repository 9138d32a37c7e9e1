//! How much of a long text has to be tokenised for the ids that are kept of it.

use std::borrow::Cow;
use std::collections::HashMap;

use parking_lot::Mutex;

use crate::base::text::{prefix, suffix};

/// Bytes read at first for each token that the model takes. Source code has about 3 bytes per
/// token and its deepest indentation about 12, so this is enough for almost every text.
const BYTES_PER_TOKEN: usize = 16;
/// Bytes read at first whatever the model takes, so that a short limit sees past leading spaces.
const BYTES_MARGIN: usize = 4096;
/// If a part of a text has too few tokens, one this much longer is read.
const GROWTH: usize = 4;
/// Bytes tokenised of one text at most, without runs that the tokenizer ignores, unless the model
/// takes so many tokens that more are read at first. A tokenizer needs about 60 bytes of memory
/// for each.
pub const READ_BYTES_MAX: usize = 2 << 20;
/// Tokens at a cut that the rest of the text could change. A word of more than 100 characters is
/// one token for most WordPiece tokenizers, and up to 100 tokens if it is cut.
const UNSURE_TOKENS: usize = 128;
/// Characters kept of a longer run of one character, if the tokenizer makes the same ids of both.
const RUN_KEPT: usize = 128;
/// The length of a run that is compared with one of [`RUN_KEPT`] characters.
pub const RUN_PROBED: usize = 1024;
/// Characters whose runs are remembered. Runs of others are not shortened.
const RUNS_KNOWN_MAX: usize = 256;

/// Which end of a text that is too long is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// A part of a text, and its ids.
pub struct Reading<'t> {
    /// The part without runs that the tokenizer ignores. It has the same ids.
    pub text: Cow<'t, str>,
    /// Ids without special tokens: `[n]`.
    pub ids: Vec<u32>,
    /// Whether the text has more tokens than `ids`.
    pub more: bool,
}

/// Reads texts with one tokenizer.
pub struct Reader {
    side: Side,
    /// Tokens that are kept of a text.
    tokens_max: usize,
    runs: Mutex<HashMap<char, bool>>,
}

impl Reader {
    pub fn new(side: Side, tokens_max: usize) -> Self {
        Self { side, tokens_max, runs: Mutex::default() }
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// Whether a text of so many bytes is tokenised whole and as it is.
    pub fn is_short(&self, text: &str) -> bool {
        text.len() <= self.first_bytes()
    }

    /// Reads as much of `text` as decides which ids are kept. ids_of: the ids of a text, without
    /// special tokens.
    ///
    /// A tokenizer may make one token of any number of bytes: of a run of spaces, or of a long
    /// word. So ever longer parts are tokenised, until one has enough tokens.
    pub fn read<'t, E>(
        &self,
        text: &'t str,
        ids_of: impl Fn(&str) -> Result<Vec<u32>, E>,
    ) -> Result<Reading<'t>, E> {
        if self.is_short(text) {
            return Ok(Reading { text: Cow::Borrowed(text), ids: ids_of(text)?, more: false });
        }
        let bytes_max = READ_BYTES_MAX.max(self.first_bytes());
        let mut bytes = self.first_bytes();
        loop {
            let part = self.part(text, bytes);
            let mut more = part.len() < text.len();
            let mut read = self.shorten(part, &ids_of)?;
            if read.len() > bytes_max {
                read = Cow::Owned(self.part(&read, bytes_max).to_owned());
                more = true;
            }
            let is_last = !more || read.len() >= bytes_max;
            if !is_last && self.side == Side::Left {
                read = Cow::Owned(read[sure_start(&read)..].to_owned());
            }
            let ids = ids_of(&read)?;
            if is_last || ids.len() >= self.tokens_max + UNSURE_TOKENS {
                return Ok(Reading { text: read, ids, more });
            }
            bytes = bytes.saturating_mul(GROWTH);
        }
    }

    fn first_bytes(&self) -> usize {
        self.tokens_max * BYTES_PER_TOKEN + BYTES_MARGIN
    }

    /// The part of at most `bytes_max` bytes at the end that is kept.
    fn part<'t>(&self, text: &'t str, bytes_max: usize) -> &'t str {
        match self.side {
            Side::Right => prefix(text, bytes_max),
            Side::Left => suffix(text, bytes_max),
        }
    }

    /// The text with long runs of one character shortened, where the ids stay the same.
    fn shorten<'t, E>(
        &self,
        text: &'t str,
        ids_of: &impl Fn(&str) -> Result<Vec<u32>, E>,
    ) -> Result<Cow<'t, str>, E> {
        let (mut short, mut copied) = (String::new(), 0);
        let mut chars = text.char_indices().peekable();
        while let Some((start, c)) = chars.next() {
            let (mut length, mut end) = (1, start + c.len_utf8());
            while let Some((at, _)) = chars.next_if(|(_, next)| *next == c) {
                (length, end) = (length + 1, at + c.len_utf8());
            }
            if length > RUN_KEPT && self.ignores_length(c, ids_of)? {
                short.push_str(&text[copied..start + RUN_KEPT * c.len_utf8()]);
                copied = end;
            }
        }
        if copied == 0 {
            return Ok(Cow::Borrowed(text));
        }
        short.push_str(&text[copied..]);
        Ok(Cow::Owned(short))
    }

    /// Whether a run of `c` has the same ids however long it is, between words and at both ends.
    fn ignores_length<E>(
        &self,
        c: char,
        ids_of: &impl Fn(&str) -> Result<Vec<u32>, E>,
    ) -> Result<bool, E> {
        if let Some(known) = self.runs.lock().get(&c) {
            return Ok(*known);
        }
        let ids = |length: usize, before: &str, after: &str| {
            let run: String = std::iter::repeat_n(c, length).collect();
            ids_of(&[before, &run, after].concat())
        };
        let mut ignores = true;
        for (before, after) in [("", "b"), ("a", "b"), ("a ", " b"), ("a", "")] {
            let kept = ids(RUN_KEPT, before, after)?;
            ignores &= kept == ids(RUN_PROBED, before, after)?;
            ignores &= kept == ids(RUN_KEPT + 1, before, after)?;
        }
        let mut runs = self.runs.lock();
        if runs.len() < RUNS_KNOWN_MAX {
            runs.insert(c, ignores);
        } else {
            // Probing the same character for each of its runs would cost more than it saves.
            ignores = false;
        }
        Ok(ignores)
    }
}

/// Where the tokens of a part do not depend on what is before it. A tokenizer joins the characters
/// of a word from its start, so the end of a text has to begin with a whole word.
fn sure_start(part: &str) -> usize {
    let mut chars = part.char_indices().map(|(at, c)| (at, c.is_whitespace())).peekable();
    while let Some((_, is_space)) = chars.next() {
        if let Some((at, _)) = chars.next_if(|(_, next)| !is_space && *next) {
            return at;
        }
    }
    part.len()
}
