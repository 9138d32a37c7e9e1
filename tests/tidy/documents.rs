//! Rules for documents and the settings file: links, comments, named tests, home folders.

use super::Offence;

/// Finds relative links of a Markdown text that do not resolve. `exists` takes a path from the
/// root.
pub fn check_links(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Offence> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut offences = Vec::new();
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let link = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let path = link.split('#').next().unwrap_or_default();
            let foreign = link.contains("://") || link.starts_with("mailto:");
            if path.is_empty() || foreign || exists(&resolve(folder, path)) {
                continue;
            }
            offences.push(Offence::new(file, i + 1, format!("the link {link} does not resolve")));
        }
    }
    offences
}

/// The path from the root of `path`, which is relative to `folder`.
fn resolve(folder: &str, path: &str) -> String {
    let from_root = path.strip_prefix('/');
    let start = if from_root.is_some() { "" } else { folder };
    let mut parts: Vec<&str> = start.split('/').filter(|part| !part.is_empty()).collect();
    for part in from_root.unwrap_or(path).split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// One setting of the settings file.
pub struct Setting {
    /// Dotted: `engine.threads`.
    pub name: String,
    line: usize,
    documented: bool,
}

/// The settings of `codeintel.toml`, one a line.
pub fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut section = "";
    let mut above = "";
    for (i, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            let documented =
                above.strip_prefix('#').is_some_and(|comment| comment.trim().len() > 10);
            found.push(Setting { name: format!("{section}.{key}"), line: i + 1, documented });
        }
        above = line;
    }
    found
}

/// Finds settings without a comment above them.
pub fn check_settings(text: &str) -> Vec<Offence> {
    let bare = settings(text).into_iter().filter(|setting| !setting.documented);
    let offence =
        |s: Setting| Offence::new("codeintel.toml", s.line, format!("{} has no comment", s.name));
    bare.map(offence).collect()
}

/// The tests that a text names in backticks, with lines: `module::tests::name`, `tidy::name`, and
/// every path to a name of at least four words.
pub fn named_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let quoted = text.lines().enumerate().flat_map(|(i, line)| {
        line.split('`').skip(1).step_by(2).map(move |quoted| (i + 1, quoted))
    });
    let is_long =
        |path: &str| path.rsplit_once("::").is_some_and(|(_, name)| name.matches('_').count() >= 3);
    let is_test =
        move |path: &str| path.contains("::tests::") || path.starts_with("tidy::") || is_long(path);
    quoted.filter(move |(_, name)| is_test(name))
}

/// Finds tests that a text names and that do not exist. `exists` takes the name of a function.
pub fn check_named_tests(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Offence> {
    let function = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let gone = named_tests(text).filter(|(_, name)| !exists(&function(name)));
    gone.map(|(line, name)| Offence::new(file, line, format!("there is no test {name}"))).collect()
}

/// Finds home folders of the machine that a file was written on.
pub fn check_home_paths(file: &str, text: &str) -> Vec<Offence> {
    // Split, so that this file is not an offence.
    let homes = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut offences = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for home in homes {
            let found = line.match_indices(home).any(|(at, _)| {
                let before = line[..at].chars().next_back().unwrap_or(' ');
                !(before.is_alphanumeric() || matches!(before, '_' | '-' | '.' | '}' | '/'))
            });
            if found {
                offences.push(Offence::new(file, i + 1, format!("names a folder under {home}")));
            }
        }
    }
    offences
}

#[test]
fn a_link_that_does_not_resolve_is_found() {
    let exists = |path: &str| ["README.md", "docs/a.md", "docs"].contains(&path);
    let lines = |file: &str, text: &str| -> Vec<usize> {
        check_links(file, text, exists).iter().map(|offence| offence.line).collect()
    };
    assert_eq!(lines("README.md", "[a](docs/a.md)\n[b](docs/b.md)\n[c](a.md#x)"), [2, 3]);
    let clean = "[r](../README.md) [a](./a.md#top) [h](https://x.y/z) [t](#top)\n```\n[n](no.md)\n```\n[d](.)";
    assert_eq!(lines("docs/a.md", clean), [0usize; 0]);
}

#[test]
fn a_setting_without_a_comment_is_found() {
    let text = "# What this file is.\n\n[a]\n# Says what it does.\nx = 1\ny = 2\n";
    let names: Vec<String> = settings(text).into_iter().map(|setting| setting.name).collect();
    assert_eq!(names, ["a.x", "a.y"]);
    let lines: Vec<usize> = check_settings(text).iter().map(|offence| offence.line).collect();
    assert_eq!(lines, [6]);
}

#[test]
fn a_named_test_that_does_not_exist_is_found() {
    let text = "Proved by `hit::tests::one` and\n`tidy::two`; see `hit::Hit` and tests.\n\
                `http::each_has_an_id`\n";
    let lines = |there: &[&str]| -> Vec<usize> {
        let offences = check_named_tests("a.md", text, |name| there.contains(&name));
        offences.iter().map(|offence| offence.line).collect()
    };
    assert_eq!(lines(&["one"]), [2, 3]);
    assert_eq!(lines(&["one", "two", "each_has_an_id"]), [0usize; 0]);
}

#[test]
fn a_home_folder_is_found() {
    let bad = format!("see {}someone/x\nand {}x\n", concat!("/ho", "me/"), concat!("/ro", "ot/"));
    assert_eq!(check_home_paths("a.md", &bad).len(), 2);
    let clean = concat!("the project's src/root/x.rs, https://x.y/ho", "me/z, $HOME/.cache\n");
    assert_eq!(check_home_paths("a.md", clean), []);
}
