//! Printed output: closed pipes, colours and shell completions.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Place, many};

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let place = many();
    let commands: [&[&str]; 5] = [
        &["search", "parse_header", "-l", "200", "--explain"],
        &["search", "parse_header", "-l", "200", "--json"],
        &["config"],
        &["completions", "bash"],
        &["embed", "repo/docs/format.md"],
    ];
    for args in commands {
        for lines in [0, 1] {
            let mut command = place.command(args);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdout = BufReader::with_capacity(16, child.stdout.take().unwrap());
            let mut line = String::new();
            for _ in 0..lines {
                stdout.read_line(&mut line).unwrap();
            }
            drop(stdout);
            let ended = child.wait_with_output().unwrap();
            let stderr = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(0), "{args:?}: {stderr}");
            assert_eq!(stderr, "", "{args:?} prints no error");
        }
    }
}

#[test]
fn colours_are_for_terminals_unless_a_flag_asks_for_them() {
    let place = many();
    let search = ["search", "parse_header", "-l", "2", "--explain"];
    let commands: [&[&str]; 6] =
        [&search, &["status"], &["versions"], &["doctor"], &["config"], &["model", "list"]];
    for args in commands {
        let always = [args, &["--color", "always"]].concat();
        let never = [args, &["--color", "never"]].concat();
        let piped = place.run(args).ok();
        assert!(!piped.contains('\u{1b}'), "{args:?}: {piped:?}");
        assert!(!place.run(&never).ok().contains('\u{1b}'), "{args:?}");
        assert!(place.run(&always).ok().contains('\u{1b}'), "{args:?}");
    }
    assert!(!place.run(&["index", "absent"]).err.contains('\u{1b}'));
    assert!(place.run(&["index", "absent", "--color", "always"]).err.contains('\u{1b}'));
    // JSON is never coloured.
    place.run(&["search", "parse_header", "--json", "--color", "always"]).json();
}

#[test]
fn a_coloured_snippet_has_the_text_of_a_plain_one() {
    let place = many();
    let search = ["search", "parse_header", "-l", "5"];
    let plain = place.run(&search).ok();
    let coloured = place.run(&[&search[..], &["--color", "always"]].concat()).ok();
    let mut bare = String::new();
    let mut parts = coloured.split('\u{1b}');
    bare.push_str(parts.next().unwrap());
    for part in parts {
        bare.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(bare, plain);
}

#[test]
fn each_shell_gets_its_completions() {
    let place = Place::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).ok();
        let commands = ["search", "index", "serve", "embed", "doctor", "rollback"];
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
        assert!(script.len() > 1000, "{shell}");
    }
}
