//! Questions from the documentation of a repository: the first sentence of a doc comment asks for its
//! function, in a copy of the sources without any comment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use rayon::prelude::*;

use super::question::{Question, Target};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::corpus::chunk::{Chunk, Chunker, Symbol, SymbolKind, TokenCount};
use crate::corpus::source::{Repo, SourceFile};
use crate::index::words::{lower, parts, words};

/// Words of a sentence that is asked.
const SENTENCE_WORDS: std::ops::RangeInclusive<usize> = 5..=40;
/// Words of a run that no document may share with a question.
const LEAK_WORDS: usize = 8;
/// A sentence that documents more functions than this asks for none of them.
const SAME_SENTENCE_MAX: usize = 5;
/// A name that more definitions have is no exact question.
const SAME_NAME_MAX: usize = 3;
/// Of a question with low overlap, the most words that its function has.
const LOW_OVERLAP_MAX: f64 = 0.2;

/// How a set is made.
#[derive(Debug, Clone)]
pub struct MakeOptions {
    /// The most questions in plain words, and the most of each other kind.
    pub questions_max: usize,
    /// The most questions in plain words about the files of one folder.
    pub per_folder_max: usize,
}

impl Default for MakeOptions {
    fn default() -> Self {
        Self { questions_max: 500, per_folder_max: 50 }
    }
}

/// Questions, and the sources to index for them.
#[derive(Debug)]
pub struct MadeSet {
    pub questions: Vec<Question>,
    /// Path and text of each file; without comments, with the lines where they were.
    pub files: Vec<(String, String)>,
    /// Questions that were dropped because a document has their words.
    pub leaked: usize,
}

/// A file without comments, and its documented functions and other definitions.
struct Stripped {
    path: String,
    text: String,
    symbols: Vec<Symbol>,
}

/// Counts four bytes as a token: chunks are only needed to find comments.
struct Bytes;

impl TokenCount for Bytes {
    fn count_lines(&self, lines: &[&str]) -> Vec<u32> {
        lines.iter().map(|line| line.len().div_ceil(4) as u32).collect()
    }
}

/// Makes questions of several kinds from the files under the roots. The same files give the same set.
///
/// Returns an error if no function is documented.
pub fn make(repo: &Repo, options: &MakeOptions, cx: &RunContext) -> Result<MadeSet> {
    let listing = repo.walk()?;
    let read = |entry| -> Result<Option<Stripped>> {
        cx.check_wanted("the set")?;
        Ok(repo.read(entry)?.ok().map(strip))
    };
    let read: Vec<Option<Stripped>> =
        listing.entries.par_iter().map(read).collect::<Result<_>>()?;
    let files: Vec<Stripped> = read.into_iter().flatten().collect();
    let (mut questions, leaked) = sentences(&files, options);
    if questions.is_empty() {
        let expected = "sources with functions that are documented in sentences".to_owned();
        let value = format!("{} files", files.len());
        return Err(Error::Argument { name: "PATH", value, expected });
    }
    questions.extend(names(&files, options.questions_max));
    questions.extend(lines(&files, options.questions_max));
    let path = |file: &Stripped| {
        let target = Target { path: file.path.clone(), lines: None };
        Question::new(file.path.clone(), vec![target], "path")
    };
    questions.extend(sampled(files.iter().map(path).collect(), options.questions_max / 5));
    // Two sentences may be the same without the name.
    let mut asked = HashSet::new();
    questions.retain(|question| asked.insert((question.query.clone(), question.category.clone())));
    let files = files.into_iter().map(|file| (file.path, file.text)).collect();
    Ok(MadeSet { questions, files, leaked })
}

fn strip(file: SourceFile) -> Stripped {
    let chunks = Chunker::new(256, 0).chunk(&file, &Bytes);
    Stripped {
        path: file.path.as_str().to_owned(),
        text: chunks.chunks.iter().map(without_comments).collect(),
        symbols: chunks.symbols,
    }
}

/// The text of a chunk without its comments; their line ends stay.
fn without_comments(chunk: &Chunk) -> String {
    let (mut text, mut end) = (String::new(), 0);
    for comment in &chunk.comments {
        text += &chunk.text[end..comment.start];
        text.extend(chunk.text[comment.clone()].chars().filter(|c| *c == '\n'));
        end = comment.end;
    }
    text + &chunk.text[end..]
}

fn target(file: &Stripped, symbol: &Symbol) -> Target {
    Target { path: file.path.clone(), lines: Some((symbol.start_line, symbol.end_line)) }
}

fn is_function(symbol: &&Symbol) -> bool {
    matches!(symbol.kind, SymbolKind::Function | SymbolKind::Method)
}

/// The questions in plain words, and how many were dropped because their words are in a document.
fn sentences(files: &[Stripped], options: &MakeOptions) -> (Vec<Question>, usize) {
    let mut asked: BTreeMap<String, Vec<(&Stripped, &Symbol)>> = BTreeMap::new();
    for file in files {
        for symbol in file.symbols.iter().filter(is_function) {
            if let Some(sentence) = symbol.doc.as_deref().and_then(first_sentence) {
                asked.entry(sentence).or_default().push((file, symbol));
            }
        }
    }
    asked.retain(|_, functions| functions.len() <= SAME_SENTENCE_MAX);
    let documents = runs_of_words(files);
    let before = asked.len();
    asked.retain(|sentence, _| !is_leaked(sentence, &documents));
    let leaked = before - asked.len();
    let mut per_folder: HashMap<&str, usize> = HashMap::new();
    let mut questions = Vec::new();
    for (sentence, functions) in sampled(asked.into_iter().collect(), usize::MAX) {
        let (file, symbol) = functions[0];
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let count = per_folder.entry(folder).or_default();
        if *count >= options.per_folder_max || questions.len() >= options.questions_max {
            continue;
        }
        *count += 1;
        let targets: Vec<Target> = functions.iter().map(|(file, s)| target(file, s)).collect();
        let category = if overlap(&sentence, file, symbol) <= LOW_OVERLAP_MAX {
            "low_overlap"
        } else {
            "natural_language"
        };
        if let Some(masked) = without_name(&sentence, &symbol.name) {
            questions.push(Question::new(masked, targets.clone(), "name_masked"));
        }
        questions.push(Question::new(sentence, targets, category));
    }
    (questions, leaked)
}

/// The first sentence of a documentation, on one line, if it has 5 to 40 words.
fn first_sentence(doc: &str) -> Option<String> {
    let paragraph: Vec<&str> =
        doc.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = paragraph.join(" ");
    let end = [". ", "! ", "? ", ": "].iter().filter_map(|end| text.find(end)).min();
    let sentence = end.map_or(text.as_str(), |end| &text[..end]).trim_end_matches('.').trim();
    let all: Vec<&str> = sentence.split_whitespace().collect();
    let is_plain = |word: &&&str| word.chars().all(|c| c.is_alphabetic() || "'-,()`".contains(c));
    let is_prose = all.iter().filter(is_plain).count() * 4 >= all.len() * 3;
    (SENTENCE_WORDS.contains(&all.len()) && is_prose).then(|| sentence.to_owned())
}

/// Hashes of all runs of 5 to 8 words of the documents.
fn runs_of_words(files: &[Stripped]) -> HashSet<u64> {
    let of_file = |file: &Stripped| {
        let all: Vec<String> = words(&file.text).map(lower).collect();
        let mut runs = HashSet::new();
        for length in *SENTENCE_WORDS.start()..=LEAK_WORDS {
            runs.extend(all.windows(length).map(hash));
        }
        runs
    };
    files.par_iter().map(of_file).reduce(HashSet::new, |mut all, runs| {
        all.extend(runs);
        all
    })
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn is_leaked(sentence: &str, documents: &HashSet<u64>) -> bool {
    let all: Vec<String> = words(sentence).map(lower).collect();
    let length = all.len().clamp(1, LEAK_WORDS);
    all.windows(length).any(|run| documents.contains(&hash(run)))
}

/// The words of a sentence, and the parts of names in it, that say something.
fn telling(text: &str) -> HashSet<String> {
    words(text).flat_map(parts).map(lower).filter(|word| word.chars().count() > 3).collect()
}

/// The share of the words of a sentence that its function has.
fn overlap(sentence: &str, file: &Stripped, symbol: &Symbol) -> f64 {
    let asked = telling(sentence);
    let (start, end) = (symbol.start_line as usize, symbol.end_line as usize);
    let body: Vec<&str> = file.text.lines().skip(start - 1).take(end + 1 - start).collect();
    let has = telling(&body.join("\n"));
    asked.iter().filter(|word| has.contains(*word)).count() as f64 / asked.len().max(1) as f64
}

/// The sentence without the words of a name, if it has some and enough is left.
fn without_name(sentence: &str, name: &str) -> Option<String> {
    let names: HashSet<String> = parts(name).map(lower).collect();
    let all: Vec<&str> = sentence.split_whitespace().collect();
    let is_name = |word: &str| words(word).any(|word| names.contains(&lower(word)));
    let kept: Vec<&str> = all.iter().copied().filter(|word| !is_name(word)).collect();
    (kept.len() < all.len() && kept.len() >= *SENTENCE_WORDS.start()).then(|| kept.join(" "))
}

/// Questions that are names: whole, a part of one, and one with a typing mistake.
fn names(files: &[Stripped], questions_max: usize) -> Vec<Question> {
    let mut defined: BTreeMap<&str, Vec<Target>> = BTreeMap::new();
    for file in files {
        for symbol in file.symbols.iter().filter(is_function) {
            defined.entry(&symbol.name).or_default().push(target(file, symbol));
        }
    }
    defined.retain(|name, targets| name.len() >= 6 && targets.len() <= SAME_NAME_MAX);
    let all: Vec<(&str, Vec<Target>)> = sampled(defined.into_iter().collect(), usize::MAX);
    let each = questions_max / 5;
    let ask = |category: &'static str, of: fn(&str) -> Option<String>| {
        let question = move |(name, targets): &(&str, Vec<Target>)| {
            Some(Question::new(of(name)?, targets.clone(), category))
        };
        all.iter().filter_map(question).take(each).collect::<Vec<_>>()
    };
    let mut questions = ask("identifier_exact", |name| Some(name.to_owned()));
    questions.extend(ask("identifier_partial", without_last_part));
    questions.extend(ask("one_typo", with_typo));
    questions
}

/// A name of at least three parts without the last of them.
fn without_last_part(name: &str) -> Option<String> {
    let all: Vec<&str> = parts(name).collect();
    let last = all.last().filter(|_| all.len() >= 3)?;
    let rest = name.trim_end_matches('_').strip_suffix(last)?;
    Some(rest.trim_end_matches('_').to_owned())
}

/// A name of at least eight letters with two adjacent ones in its middle swapped.
fn with_typo(name: &str) -> Option<String> {
    let mut letters: Vec<char> = name.chars().collect();
    let middle = letters.len() / 2;
    if letters.len() < 8 || letters[middle] == letters[middle - 1] {
        return None;
    }
    letters.swap(middle, middle - 1);
    Some(letters.into_iter().collect())
}

/// Words of a message about a failure.
static FAILURES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [
        "failed",
        "fail",
        "error",
        "invalid",
        "cannot",
        "must",
        "expected",
        "unexpected",
        "unknown",
        "missing",
    ]
    .into()
});

/// Questions that are lines of code and messages of failures, each in one place only.
fn lines(files: &[Stripped], questions_max: usize) -> Vec<Question> {
    let (mut code, mut messages): (BTreeMap<&str, _>, BTreeMap<&str, _>) = Default::default();
    let mut add = |to: usize, text, place: (&str, u32)| {
        let map = if to == 0 { &mut code } else { &mut messages };
        map.entry(text)
            .and_modify(|found| *found = None)
            .or_insert(Some((place.0.to_owned(), place.1)));
    };
    for file in files {
        for (number, line) in (1..).zip(file.text.lines()) {
            let line = line.trim();
            let is_code = line.contains('(') && line.contains(' ') && !line.contains('"');
            if (24..=100).contains(&line.len()) && is_code {
                add(0, line, (&file.path, number));
            }
            for text in line.split('"').skip(1).step_by(2) {
                let is_failure = words(text).any(|word| FAILURES.contains(lower(word).as_str()));
                if (20..=120).contains(&text.len()) && text.contains(' ') && is_failure {
                    add(1, text, (&file.path, number));
                }
            }
        }
    }
    let each = questions_max / 5;
    let question = |category: &'static str| {
        move |(text, place): (&str, Option<(String, u32)>)| {
            let (path, line) = place?;
            let target = Target { path, lines: Some((line, line)) };
            Some(Question::new(text.to_owned(), vec![target], category))
        }
    };
    let literal: Vec<Question> = code.into_iter().filter_map(question("literal")).collect();
    let failure: Vec<Question> = messages.into_iter().filter_map(question("error_text")).collect();
    sampled(literal, each).into_iter().chain(sampled(failure, each)).collect()
}

/// At most `count` of `all`, in an order that only depends on their number.
fn sampled<T>(all: Vec<T>, count: usize) -> Vec<T> {
    let mut all: Vec<(u64, T)> = (0u64..).map(|i| hash(&i)).zip(all).collect();
    all.sort_by_key(|(order, _)| *order);
    all.truncate(count);
    all.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Settings;
    use crate::base::telemetry::Telemetry;
    use crate::base::telemetry::labels::Tool;

    const POOL: &str = "/// Hands out one of the idle connections. Blocks.\n\
        pub fn acquire_from_pool(limit: usize) -> usize {\n    \
            // A comment.\n    \
            let taken = wait_for_permit(limit, \"a\");\n    \
            panic!(\"the permit could not be taken: invalid state\")\n}\n\n\
        /// Short.\nfn tiny() {}\n\n\
        /// the words of this sentence occur in a document\nfn leaky() {}\n\n\
        const TEXT: &str = \"the words of this sentence occur in a document\";\n";

    #[test]
    fn the_set_of_a_repository_has_every_kind_and_no_comment() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pool.rs"), POOL).unwrap();
        let repo = Repo::open(&[folder.path().to_path_buf()], &Settings::default()).unwrap();
        let cx = RunContext::new(&Telemetry::detached(), Tool::Eval, &[]);
        let made = make(&repo, &MakeOptions::default(), &cx).unwrap();
        assert_eq!(made.leaked, 1);
        let text = &made.files[0].1;
        assert!(!text.contains("Hands out") && !text.contains("A comment"), "{text}");
        assert_eq!(text.lines().count(), POOL.lines().count());
        let find = |category: &str| {
            let found = made.questions.iter().find(|q| q.category == category);
            found.unwrap_or_else(|| panic!("{category}: {:?}", made.questions))
        };
        let sentence = find("low_overlap");
        assert_eq!(sentence.query, "Hands out one of the idle connections");
        assert_eq!(sentence.relevant[0].lines, Some((2, 6)));
        assert_eq!(find("identifier_exact").query, "acquire_from_pool");
        assert_eq!(find("identifier_partial").query, "acquire_from");
        assert_eq!(find("one_typo").query.len(), "acquire_from_pool".len());
        assert_eq!(find("path").query, "pool.rs");
        assert_eq!(find("error_text").query, "the permit could not be taken: invalid state");
        assert_eq!(find("literal").relevant[0].lines, Some((2, 2)));
        assert_eq!(
            format!("{:?}", make(&repo, &MakeOptions::default(), &cx).unwrap()),
            format!("{made:?}")
        );
    }

    #[test]
    fn names_are_masked_shortened_and_misspelt() {
        let masked = without_name("Returns the pool of all idle connections now", "idle_pool");
        assert_eq!(masked.as_deref(), Some("Returns the of all connections now"));
        assert_eq!(without_name("Returns idle pools", "idle_pool"), None);
        assert_eq!(without_last_part("parseHttpHeader").as_deref(), Some("parseHttp"));
        assert_eq!(without_last_part("parse_header"), None);
        assert_eq!(with_typo("parse_header").as_deref(), Some("parseh_eader"));
    }
}
