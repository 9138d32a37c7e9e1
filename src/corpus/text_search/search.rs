//! The search: all files in parallel, in the order of their paths.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use grep_searcher::Searcher;
use parking_lot::Mutex;

use super::file_matches::{FileMatches, TextMatch};
use super::pattern::Pattern;
use super::text_query::TextQuery;
use crate::base::error::Result;
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::source::{Entry, GlobList, Language, Repo, SkipReason, Skipped, open};
use crate::corpus::time_limit::TimeLimit;

/// Bytes read to find the `#!` line of a file whose name does not tell its language, or C++ in one whose
/// name is that of a header.
const HEAD_BYTES: u64 = 64 << 10;

/// The matches of a text search.
#[derive(Debug, Clone, Default)]
pub struct TextMatches {
    /// By path and line: the first ones that were asked for.
    pub matches: Vec<TextMatch>,
    /// All matches, returned or not: lines, or with `multiline` groups of adjacent lines.
    pub total: u64,
    pub files_matched: usize,
    pub files_searched: usize,
    /// Files that were not searched, by reason.
    pub skipped: Skipped,
    /// Whether all files were searched; not so when the time was over.
    pub is_complete: bool,
}

/// One search, shared by its threads.
struct Search<'a> {
    query: &'a TextQuery,
    pattern: &'a Pattern,
    entries: &'a [&'a Entry],
    limit: &'a TimeLimit<'a>,
    /// Whether the time was over before the end.
    is_stopped: AtomicBool,
    next: AtomicUsize,
    /// Position of the last file whose matches may still be returned.
    last_wanted: AtomicUsize,
    kept: Mutex<Kept>,
    found: Mutex<TextMatches>,
}

/// The first matches so far, by position of the file.
#[derive(Default)]
struct Kept {
    files: BTreeMap<usize, Vec<TextMatch>>,
    count: usize,
}

impl Repo {
    /// Searches the files on disk. When the time is over, the answer has what was found by then.
    pub fn search_text(&self, query: &TextQuery, cx: &RunContext) -> Result<TextMatches> {
        cx.stage(Stage::TextSearch, |span| {
            let found = self.find_text(query, &TimeLimit::new(cx, query.time_max))?;
            span.set(attrs::FILES, found.files_searched);
            span.set(attrs::FILES_SKIPPED, found.skipped.total());
            span.set(attrs::TEXT_MATCHES, found.total);
            Ok(found)
        })
    }

    fn find_text(&self, query: &TextQuery, limit: &TimeLimit<'_>) -> Result<TextMatches> {
        let pattern = Pattern::new(query)?;
        let globs = GlobList::new(&query.globs)?;
        let listing = self.list_until(&|| limit.is_over().unwrap_or(true))?;
        let is_wanted = |entry: &&Entry| globs.matches(entry.path.as_str());
        let entries: Vec<&Entry> = listing.entries.iter().filter(is_wanted).collect();
        let search = Search {
            query,
            pattern: &pattern,
            entries: &entries,
            limit,
            is_stopped: AtomicBool::new(limit.is_over()?),
            next: AtomicUsize::new(0),
            last_wanted: AtomicUsize::new(usize::MAX),
            kept: Mutex::default(),
            found: Mutex::new(TextMatches { skipped: listing.skipped, ..TextMatches::default() }),
        };
        rayon::scope(|scope| {
            for _ in 0..rayon::current_num_threads().min(entries.len()) {
                scope.spawn(|_| search.run());
            }
        });
        // A cancelled search has no answer.
        limit.is_over()?;
        let mut found = search.found.into_inner();
        found.is_complete = !search.is_stopped.into_inner();
        found.matches = search.kept.into_inner().files.into_values().flatten().collect();
        found.matches.truncate(query.matches_max);
        Ok(found)
    }
}

impl Search<'_> {
    /// Searches one file after another until there is none left, or no time.
    fn run(&self) {
        let mut searcher = self.pattern.searcher(self.query.context_lines);
        let mut counter = self.pattern.counter();
        let mut own = TextMatches::default();
        while let Some((place, entry)) = self.next_file() {
            let is_wanted = self.wants(place, entry);
            let searcher = if is_wanted { &mut searcher } else { &mut counter };
            match self.search_file(entry, searcher, is_wanted) {
                Outcome::Searched(found, matches) => {
                    own.files_searched += 1;
                    own.files_matched += usize::from(found > 0);
                    own.total += found;
                    self.keep(place, matches);
                }
                Outcome::Skipped(reason) => own.skipped.add(reason),
                Outcome::OtherLanguage => {}
                Outcome::OutOfTime => break,
            }
        }
        let mut all = self.found.lock();
        all.total += own.total;
        all.files_matched += own.files_matched;
        all.files_searched += own.files_searched;
        all.skipped.merge(&own.skipped);
    }

    fn next_file(&self) -> Option<(usize, &Entry)> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = self.entries.get(place)?;
        if self.limit.is_over().unwrap_or(true) {
            self.is_stopped.store(true, Ordering::Relaxed);
            return None;
        }
        Some((place, entry))
    }

    /// Whether matches in this file may be among the first that were asked for.
    fn wants(&self, place: usize, entry: &Entry) -> bool {
        let passed = self.query.after.as_ref().is_some_and(|(path, _)| entry.path < *path);
        !passed && place <= self.last_wanted.load(Ordering::Relaxed)
    }

    /// Keeps the matches of a file while they are among the first ones.
    fn keep(&self, place: usize, matches: Vec<TextMatch>) {
        if matches.is_empty() {
            return;
        }
        let mut kept = self.kept.lock();
        kept.count += matches.len();
        kept.files.insert(place, matches);
        while let Some(last) = kept.files.last_entry() {
            let (place, len) = (*last.key(), last.get().len());
            if kept.count < self.query.matches_max {
                break;
            }
            self.last_wanted.store(place, Ordering::Relaxed);
            if kept.count - len < self.query.matches_max {
                break;
            }
            kept.files.pop_last();
            kept.count -= len;
        }
    }

    fn search_file(&self, entry: &Entry, searcher: &mut Searcher, is_wanted: bool) -> Outcome {
        let mut file = match open(&entry.absolute) {
            Ok(file) => file,
            Err(error) => return Outcome::Skipped(unreadable(&error)),
        };
        match self.is_in_languages(entry, &mut file) {
            Ok(true) => {}
            Ok(false) => return Outcome::OtherLanguage,
            Err(error) => return Outcome::Skipped(unreadable(&error)),
        }
        let lines_passed = match &self.query.after {
            Some((path, line)) if *path == entry.path => *line,
            _ => 0,
        };
        let matches_max = if is_wanted { self.query.matches_max } else { 0 };
        let (matcher, multiline) = (&self.pattern.matcher, self.pattern.multiline);
        let mut found =
            FileMatches::new(matcher, &entry.path, multiline, lines_passed, matches_max);
        let reader = Interrupted { file, limit: self.limit };
        match searcher.search_reader(matcher, reader, &mut found) {
            Ok(()) if found.is_binary => Outcome::Skipped(SkipReason::Binary),
            Ok(()) => Outcome::Searched(found.count, found.matches),
            Err(_) if self.limit.is_over().unwrap_or(true) => {
                self.is_stopped.store(true, Ordering::Relaxed);
                Outcome::OutOfTime
            }
            Err(error) => Outcome::Skipped(unreadable(&error)),
        }
    }

    fn is_in_languages(&self, entry: &Entry, file: &mut File) -> io::Result<bool> {
        let languages = &self.query.languages;
        if languages.is_empty() {
            return Ok(true);
        }
        let mut language = Language::detect(&entry.path, "");
        if matches!(language, Language::Text | Language::C) {
            let mut head = Vec::new();
            file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
            file.rewind()?;
            language = Language::of(&entry.path, &String::from_utf8_lossy(&head));
        }
        Ok(languages.contains(&language))
    }
}

/// What became of one file.
enum Outcome {
    /// The number of matches, and the first of them.
    Searched(u64, Vec<TextMatch>),
    Skipped(SkipReason),
    OtherLanguage,
    OutOfTime,
}

fn unreadable(error: &io::Error) -> SkipReason {
    match error.kind() {
        // Only the searcher's buffer has a limit.
        io::ErrorKind::Other if error.to_string().contains("allocation limit") => {
            SkipReason::LongLines
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SkipReason::Vanished,
        _ => SkipReason::Unreadable,
    }
}

/// A file that cannot be read once the time is over.
struct Interrupted<'a> {
    file: File,
    limit: &'a TimeLimit<'a>,
}

impl Read for Interrupted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.limit.is_over().unwrap_or(true) {
            return Err(io::Error::other("the time is over"));
        }
        self.file.read(buffer)
    }
}
