//! Rules for one Rust file: length, first line, unsafe code, attribute keys and shapes.

use super::Offence;
use super::source::Source;

/// The longest file, in lines, without its tests.
const LINES_MAX: usize = 400;
/// Marks a file that is one long list or table.
const TABLE_MARK: &str = "// tidy: table";

pub fn check_length(source: &Source) -> Vec<Offence> {
    let count = source.outside_tests(&source.lines).count();
    let table = source.lines.iter().any(|line| line.trim() == TABLE_MARK);
    if count <= LINES_MAX || table {
        return Vec::new();
    }
    let message = format!("{count} lines; split it, or mark a list with `{TABLE_MARK}`");
    vec![Offence::new(&source.path, count, message)]
}

pub fn check_first_line(source: &Source) -> Vec<Offence> {
    let first = source.lines.first().map(String::as_str).unwrap_or_default();
    if first.strip_prefix("//!").is_some_and(|summary| !summary.trim().is_empty()) {
        return Vec::new();
    }
    vec![Offence::new(&source.path, 1, format!("begins with {first:?}"))]
}

pub fn check_unsafe(source: &Source) -> Vec<Offence> {
    let homes = ["src/device/", "src/index/dense/ffi.rs", "src/index/dense/gpu/"];
    let home = homes.iter().any(|home| source.path.starts_with(home));
    let mut offences = Vec::new();
    for (number, line) in source.outside_tests(&source.code) {
        if !has_word(line, "unsafe") {
            continue;
        }
        let mut near = source.code[number - 1..].iter().take(3);
        if !home && !near.any(|line| line.to_lowercase().contains("mmap")) {
            let message =
                "unsafe outside device, index/dense/{ffi.rs, gpu} and memory-mapped loading";
            offences.push(Offence::new(&source.path, number, message));
        }
        if !is_justified(source, number) {
            offences.push(Offence::new(
                &source.path,
                number,
                "unsafe without a // SAFETY: comment",
            ));
        }
    }
    offences
}

/// Whether a SAFETY comment is on the line, in the three lines above, or in the comments and
/// attributes above those.
fn is_justified(source: &Source, number: usize) -> bool {
    let states = |line: &String| line.contains("SAFETY:") || line.contains("# Safety");
    let belongs = |line: &String| line.trim().starts_with("//") || line.trim().starts_with("#[");
    let mut above = source.lines[..number].iter().rev();
    above.by_ref().take(4).any(states) || above.take_while(|line| belongs(line)).any(states)
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

/// Finds dotted literals where a key is expected. Names of settings are allowed.
pub fn check_attributes(source: &Source, settings: &[String]) -> Vec<Offence> {
    const PLACES: [&str; 6] =
        [".set(", "KeyValue::new(", "Key::new(", "Key::from_static_str(", "Attr(", "Cow::from("];
    // The attributes of the resource are on no span.
    if ["src/base/telemetry/attrs.rs", "src/base/telemetry/resource.rs"]
        .contains(&source.path.as_str())
    {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for (number, line) in source.outside_tests(&source.text) {
        let code = source.code[number - 1].as_str();
        for (at, place) in PLACES.iter().flat_map(|place| line.match_indices(place)) {
            let literal =
                line[at + place.len()..].strip_prefix('"').and_then(|l| l.split('"').next());
            let Some(key) = literal else { continue };
            let ours = settings.iter().any(|name| name == key);
            if code.get(at..at + place.len()) == Some(place) && is_dotted_key(key) && !ours {
                let message = format!("spells the attribute {key:?}; add it to telemetry/attrs.rs");
                offences.push(Offence::new(&source.path, number, message));
            }
        }
    }
    offences
}

fn is_dotted_key(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.contains('.') && text.split('.').all(part)
}

/// Finds public functions that take numbers without a shape in their doc.
pub fn check_shapes(source: &Source) -> Vec<Offence> {
    const FOLDERS: [&str; 4] =
        ["src/embedding/nn/", "src/index/", "src/device/", "src/base/vector.rs"];
    if !FOLDERS.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for (number, line) in source.outside_tests(&source.code) {
        let begins = ["pub fn ", "pub unsafe fn ", "pub const fn "];
        if !begins.iter().any(|begin| line.trim_start().starts_with(begin)) {
            continue;
        }
        if takes_numbers(&parameters(&source.code[number - 1..])) && !has_shape(source, number) {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
            let message = format!("{} has no `[shape]` in its doc", name.unwrap_or_default());
            offences.push(Offence::new(&source.path, number, message));
        }
    }
    offences
}

/// The parameters of the function at the start of `lines`.
fn parameters(lines: &[String]) -> String {
    let mut depth = 0usize;
    let mut found = String::new();
    for c in lines.iter().take(40).flat_map(|line| line.chars().chain(['\n'])) {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return found,
            ')' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return found,
            _ if depth > 0 => found.push(c),
            _ => {}
        }
    }
    found
}

/// Whether there are slices of numbers, pointers to numbers, matrices or tensors. Bytes and sizes do
/// not count.
fn takes_numbers(parameters: &str) -> bool {
    const NUMBERS: [&str; 11] =
        ["f32", "f64", "f16", "bf16", "i8", "i16", "u16", "i32", "u32", "i64", "u64"];
    let slice = NUMBERS.iter().any(|n| {
        let forms = [format!("[{n}]"), format!("*const {n}"), format!("*mut {n}")];
        forms.iter().any(|form| parameters.contains(form.as_str()))
    });
    slice || has_word(parameters, "Matrix") || has_word(parameters, "Tensor")
}

/// Whether the doc above line `number` has brackets that are not a link: `[n, d]`, not [`Name`].
fn has_shape(source: &Source, number: usize) -> bool {
    let above = source.lines[..number - 1].iter().rev().map(|line| line.trim());
    let doc = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
    doc.filter(|line| line.starts_with("///"))
        .any(|line| line.match_indices('[').any(|(at, _)| !line[at + 1..].starts_with('`')))
}

fn lines(check: impl Fn(&Source) -> Vec<Offence>, path: &str, code: &str) -> Vec<usize> {
    check(&Source::new(path, code)).iter().map(|offence| offence.line).collect()
}

const NONE: [usize; 0] = [];

#[test]
fn a_long_file_is_found_unless_it_is_tests_or_a_table() {
    let long = "fn a() {}\n".repeat(401);
    assert_eq!(lines(check_length, "src/a.rs", &long), [401]);
    assert_eq!(lines(check_length, "src/a.rs", &format!("// tidy: table\n{long}")), NONE);
    let tested = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(lines(check_length, "src/a.rs", &tested), NONE);
}

#[test]
fn a_file_without_a_summary_is_found() {
    for bad in ["", "use x;\n//! Late.", "//!\n", "// What?"] {
        assert_eq!(lines(check_first_line, "src/a.rs", bad), [1], "{bad:?}");
    }
    assert_eq!(lines(check_first_line, "src/a.rs", "//! What is here?\n"), NONE);
}

#[test]
fn unsafe_code_in_the_wrong_place_or_without_a_reason_is_found() {
    let bare = "fn f() {\n    unsafe { g() }\n}\n";
    let reasoned = "fn f() {\n    // SAFETY: g has no conditions.\n    unsafe { g() }\n}\n";
    assert_eq!(lines(check_unsafe, "src/device/a.rs", bare), [2]);
    assert_eq!(lines(check_unsafe, "src/device/a.rs", reasoned), NONE);
    assert_eq!(lines(check_unsafe, "src/index/dense/gpu/a.rs", reasoned), NONE);
    assert_eq!(lines(check_unsafe, "src/search/a.rs", reasoned), [3]);
    let mapped =
        "// SAFETY: the file is never changed once published.\nlet m = unsafe { Mmap::map(&f) };";
    assert_eq!(lines(check_unsafe, "src/search/a.rs", mapped), NONE);
    let declared =
        "/// # Safety\n/// Needs AVX2.\n///\n/// More.\n///\n#[inline]\nunsafe fn f() {}\n";
    assert_eq!(lines(check_unsafe, "src/device/a.rs", declared), NONE);
    assert_eq!(
        lines(check_unsafe, "src/a.rs", "// unsafe\nlet a = \"unsafe\"; not_unsafe();"),
        NONE
    );
}

#[test]
fn an_attribute_key_that_is_a_literal_is_found() {
    let check = |source: &Source| check_attributes(source, &["search.limit".to_owned()]);
    let bad = "span.set(\"faiss.k\", 5);\nKeyValue::new(\"a.b_c\", 1);\nlet a = Attr(\"x.y\");\n";
    assert_eq!(lines(check, "src/a.rs", bad), [1, 2, 3]);
    assert_eq!(lines(check, "src/base/telemetry/attrs.rs", bad), NONE);
    let clean = "span.set(attrs::FAISS_K, 5);\nsettings.set(\"search.limit\", 5);\nopen(\"dense.faiss\");\n\
                 span.event(\"channels.gathered\", &[]);\n// .set(\"a.b\")\nmap.set(\"Cargo.toml\", 1);\n";
    assert_eq!(lines(check, "src/a.rs", clean), NONE);
}

#[test]
fn numbers_without_a_shape_are_found() {
    let bad = "/// Adds; see [`Matrix`].\npub fn add(&self, x: &[f32]) {}\npub fn b(\n    m: &Matrix,\n) {}\n";
    assert_eq!(lines(check_shapes, "src/index/a.rs", bad), [2, 3]);
    assert_eq!(lines(check_shapes, "src/search/a.rs", bad), NONE);
    let clean = "/// x: `[d]`.\n#[inline]\npub fn add(&self, x: &[f32]) {}\n/// ids: [n, k].\npub fn b(m: Matrix) \
                 {}\nfn c(x: &[f32]) {}\npub fn d(x: &[u8], n: usize) -> &[f32] {}\n";
    assert_eq!(lines(check_shapes, "src/index/a.rs", clean), NONE);
}
