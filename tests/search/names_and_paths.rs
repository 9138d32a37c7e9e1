//! Queries that name something as it stands: names, paths, stack traces, quoted texts.

use crate::support::{Place, ask, paths};

fn indexed(files: &[(String, String)]) -> Place {
    let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let place = Place::new(&files);
    place.index();
    place
}

const VERBS: [&str; 8] = ["flush", "drain", "probe", "retry", "shard", "merge", "trim", "poll"];
const NOUNS: [&str; 5] = ["window", "ledger", "socket", "journal", "cursor"];

#[test]
fn a_name_that_is_no_definition_comes_before_definitions_that_resemble_it() {
    let mut files = Vec::new();
    for verb in VERBS {
        for noun in NOUNS {
            let uses = format!(
                "fn start(settings: &Settings) {{\n    let wait = settings.read(\"{verb}_{noun}_ms\");\n    \
                 sleep(wait);\n}}\n"
            );
            files.push((format!("src/use/{verb}_{noun}.rs"), uses));
            let like = format!(
                "pub fn {verb}_{noun}_s() {{}}\npub fn {verb}_{noun}s_ms() {{}}\n\
                 pub fn {verb}_{noun}_ms_max() {{}}\npub fn {verb}_{noun}() {{}}\n"
            );
            files.push((format!("src/like/{noun}_{verb}.rs"), like));
        }
    }
    let place = indexed(&files);
    let searcher = place.searcher();
    let mut wrong = Vec::new();
    for verb in VERBS {
        for noun in NOUNS {
            let name = format!("{verb}_{noun}_ms");
            let answer = ask(&searcher, &place.query(&name, 5));
            if paths(&answer)[0] != format!("src/use/{verb}_{noun}.rs") {
                wrong.push(format!("{name}: {}", answer.findings[0].why));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Twelve functions of six lines in each of three files, two of which have the same name.
fn modules() -> Place {
    let functions = |word: &str| -> String {
        let function = |i: usize| {
            format!(
                "def {word}_{i}(value):\n    total = value * {i}\n    for item in range({i}):\n        \
                 total += item\n    return total\n\n"
            )
        };
        (0..12).map(function).collect()
    };
    let files =
        [("src/net/pool.py", "pool"), ("src/disk/pool.py", "disk"), ("src/views.py", "view")];
    indexed(&files.map(|(path, word)| (path.to_owned(), functions(word))))
}

#[test]
fn a_path_finds_its_file_at_the_line_in_whatever_form_it_is_pasted() {
    let place = modules();
    let searcher = place.searcher();
    for (query, path, line) in [
        ("src/net/pool.py", "src/net/pool.py", None),
        ("./src/net/pool.py", "src/net/pool.py", None),
        ("disk/pool.py", "src/disk/pool.py", None),
        ("views.py", "src/views.py", None),
        ("src/views.py:40", "src/views.py", Some(40)),
        ("views.py:40:7", "src/views.py", Some(40)),
        ("src\\views.py:40", "src/views.py", Some(40)),
        ("/srv/me/project/src/views.py:40", "src/views.py", Some(40)),
        ("file:///srv/me/project/src/views.py", "src/views.py", None),
        ("File \"/srv/app/src/disk/pool.py\", line 64, in disk_10", "src/disk/pool.py", Some(64)),
        ("    at render (src/views.py:52:11)", "src/views.py", Some(52)),
        ("--> src/net/pool.py:30:5", "src/net/pool.py", Some(30)),
        ("what does src/views.py do", "src/views.py", None),
    ] {
        let answer = ask(&searcher, &place.query(query, 5));
        let best = &answer.findings[0];
        assert_eq!(best.row.path, path, "{query}: {}", best.why);
        if let Some(line) = line {
            assert!(
                (best.row.start_line..=best.row.end_line).contains(&line),
                "{query}: lines {}-{}",
                best.row.start_line,
                best.row.end_line
            );
        }
    }
}

#[test]
fn the_file_of_a_traceback_that_raised_comes_before_its_frames() {
    let place = modules();
    let mut trace = "Traceback (most recent call last):\n".to_owned();
    for frame in 1..=5 {
        trace += &format!(
            "  File \"/usr/lib/python3/site-packages/framework/base_{frame}.py\", line {frame}0, in call\n    \
             return self.handle(request)\n"
        );
    }
    trace += "  File \"/srv/app/src/views.py\", line 12, in view_1\n    return pool_3(value)\n  \
              File \"/srv/app/src/net/pool.py\", line 21, in pool_3\n    total += item\n\
              TypeError: unsupported operand type(s) for +=: 'int' and 'str'\n";
    let answer = ask(&place.searcher(), &place.query(&trace, 5));
    let best = &answer.findings[0];
    assert_eq!(best.row.path, "src/net/pool.py", "{}", best.why);
    assert!((best.row.start_line..=best.row.end_line).contains(&21), "{}", best.row.start_line);
}

#[test]
fn words_of_scripts_without_spaces_are_found_and_no_word_is_said_to_be_missing_that_is_there() {
    let mut files: Vec<(String, String)> = (0..20)
        .map(|i| (format!("src/other_{i}.py"), format!("# 数据缓存 {i}\ndef other_{i}(): pass\n")))
        .collect();
    for (path, text) in [
        ("src/zh.py", "# 用户登录认证失败时重试\ndef first(): pass\n"),
        ("src/ja.py", "# サーバーの接続を閉じる\ndef second(): pass\n"),
        ("src/ko.py", "# 사용자 인증을 확인한다\ndef third(): pass\n"),
        ("src/mixed.py", "# 检查token是否过期\ndef fourth(): pass\n"),
        ("src/class.py", "class Pool:\n    def __init__(self):\n        self.items = []\n"),
    ] {
        files.push((path.to_owned(), text.to_owned()));
    }
    let place = indexed(&files);
    let searcher = place.searcher();
    for (query, path) in [
        ("认证", "src/zh.py"),
        ("登录认证失败", "src/zh.py"),
        ("接続を閉じる", "src/ja.py"),
        ("인증을", "src/ko.py"),
        ("token是否过期", "src/mixed.py"),
        ("__init__", "src/class.py"),
    ] {
        let answer = ask(&searcher, &place.query(query, 5));
        assert_eq!(paths(&answer)[0], path, "{query}: {}", answer.findings[0].why);
        let warnings = &answer.report.warnings;
        assert!(warnings.iter().all(|w| w.code != "words-not-in-index"), "{query}: {warnings:?}");
    }
}

#[test]
fn a_quoted_text_must_occur_if_it_occurs_anywhere() {
    let mut files: Vec<(String, String)> = (0..30)
        .map(|i| {
            let text = format!(
                "fn case_{i}() {{\n    // the lease expired before the renewal of the lease was sent {i}\n    \
                 log(\"renewal sent, lease {i} expired\");\n}}\n"
            );
            (format!("src/case_{i}.rs"), text)
        })
        .collect();
    let text = "fn renew() {\n    fail(\"lease expired before renewal\");\n}\n";
    files.push(("src/renew.rs".to_owned(), text.to_owned()));
    let place = indexed(&files);
    let searcher = place.searcher();
    for query in
        ["\"lease expired before renewal\"", "where is \"lease expired before renewal\" raised"]
    {
        let answer = ask(&searcher, &place.query(query, 10));
        assert_eq!(paths(&answer), ["src/renew.rs"], "{query}");
        assert!(answer.report.warnings.is_empty(), "{:?}", answer.report.warnings);
    }

    // A text that stands nowhere is said to, and its words are searched.
    let answer = ask(&searcher, &place.query("\"renewal before lease\"", 10));
    assert!(!answer.findings.is_empty());
    assert!(answer.report.warnings.iter().any(|w| w.code == "quote-not-found"));
}

#[test]
fn equal_copies_are_one_result_that_names_the_others() {
    let text = "/// Splits a ledger into pages.\npub fn paginate_ledger(rows: &[Row]) -> Vec<Page> {\n    \
                rows.chunks(50).map(Page::new).collect()\n}\n";
    let copies = [
        "backup/2024/ledger.rs",
        "backup/ledger.rs",
        "src/ledger.rs",
        "third_party/ledger/ledger.rs",
        "vendor/a/ledger.rs",
        "vendor/b/ledger.rs",
        "ledger.rs.bak/ledger.rs",
    ];
    let mut files: Vec<_> = copies.map(|path| (path.to_owned(), text.to_owned())).into();
    files.push(("src/other.rs".to_owned(), "pub fn other() {}\n".to_owned()));
    let place = indexed(&files);
    for query in ["paginate_ledger", "how is a ledger split into pages"] {
        let answer = ask(&place.searcher(), &place.query(query, 5));
        let found = paths(&answer);
        assert_eq!(found[0], "src/ledger.rs", "{query}: {}", answer.findings[0].why);
        assert!(found[1..].iter().all(|path| !copies.contains(path)), "{query}: {found:?}");
        assert_eq!(answer.findings[0].copies.len(), 6, "{query}");
    }
}
