//! The URI of a finding: valid, percent-encoded, and it opens.

use std::path::{Path, PathBuf};

use codeintel::search::Finding;
use serde_json::Value;
use url::Url;

use crate::support::{Place, Ran, ask};

/// Names that a URI cannot hold as they are.
const NAMES: [&str; 9] = [
    "with space.py",
    "100%.py",
    "per%20cent.py",
    "a#b.py",
    "what?.py",
    "größe 日本.py",
    "back\\slash.py",
    "[x]{y}|^`&=+;,@:.py",
    "plain.py",
];

fn text(name: &str) -> String {
    format!("# {name}\n\n\ndef needle_in_haystack():\n    return 1\n")
}

fn findings(ran: Ran) -> Vec<Value> {
    ran.json()["findings"].as_array().unwrap().clone()
}

/// The file and the fragment of the URI of a finding.
fn opened(finding: &Value) -> (PathBuf, String) {
    let uri = Url::parse(finding["location"]["uri"].as_str().unwrap()).unwrap();
    assert_eq!(uri.scheme(), "file");
    assert!(uri.host().is_none() && uri.query().is_none(), "{uri}");
    (uri.to_file_path().unwrap(), uri.fragment().unwrap().to_owned())
}

/// Searches and checks that every finding opens the file in which it was found.
fn check(place: &Place, files: usize) {
    let ran = place.run(&["search", "needle_in_haystack", "--limit", "200", "--json"]);
    let found = findings(ran);
    assert_eq!(found.len(), files);
    for finding in found {
        let location = &finding["location"];
        let (file, fragment) = opened(&finding);
        assert!(file.is_absolute());
        let lines = (&location["start_line"], &location["end_line"]);
        assert_eq!(fragment, format!("L{}-L{}", lines.0, lines.1));
        assert!(file.ends_with(Path::new(location["path"].as_str().unwrap()).file_name().unwrap()));
        let snippet = finding["snippet"].as_str().unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains(snippet), "{}", file.display());
    }
}

#[test]
fn a_uri_opens_the_file_whatever_its_name_and_its_root_hold() {
    let files: Vec<(String, String)> =
        NAMES.iter().map(|name| (format!("deep & 50%/{name}"), text(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let place = Place::new(&files);
    place.run_index(&[]).ok();
    check(&place, NAMES.len());

    // Several roots, each with such a name, given relative to the current folder.
    let roots = ["one #1", "zwei?ö", "50% 日本"];
    for root in roots {
        let folder = place.path().join(root);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x y.py"), text(root)).unwrap();
    }
    place.run(&["index", "one #1", "./zwei?ö", "one #1/../50% 日本", "--replace"]).ok();
    check(&place, roots.len());

    // A single file, and a file beside a folder.
    let file = "repo/deep & 50%/a#b.py";
    place.run(&["index", file, "--replace"]).ok();
    check(&place, 1);
    place.run(&["index", file, "one #1"]).ok();
    check(&place, 2);
}

#[test]
fn a_finding_has_no_uri_if_its_file_is_not_on_this_machine() {
    let place = Place::indexed(&[("a.py", &text("a")), ("b.py", &text("b"))]);
    place.remove("a.py");
    let searcher = place.searcher();
    let answer = ask(&searcher, &place.query("needle_in_haystack", 10));
    let file = |path: &str| {
        let found = answer.findings.iter().find(|f: &&Finding| f.row.path == path).unwrap();
        found.file.clone()
    };
    assert_eq!(file("a.py"), None);
    assert_eq!(file("b.py"), Some(place.repo().canonicalize().unwrap().join("b.py")));

    std::fs::rename(place.repo(), place.path().join("elsewhere")).unwrap();
    let found = findings(place.run(&["search", "needle_in_haystack", "--json"]));
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|finding| finding["location"].get("uri").is_none()), "{found:?}");
    assert!(found.iter().all(|finding| finding["snippet"].as_str().unwrap().contains("needle")));
}
