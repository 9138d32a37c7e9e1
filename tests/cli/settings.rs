//! Settings from flags, environment variables and the file.

use codeintel::base::config::{KEYS, help};

use crate::support::{Place, Ran, many};

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file() {
    let place = many();
    let file = place.path().join("codeintel.toml");
    let found = |variable: Option<&str>, flags: &[&str]| {
        let mut command = place.command(&["search", "parse_header", "--json"]);
        command.args(flags);
        if let Some(value) = variable {
            command.env("CODEINTEL_SEARCH_LIMIT", value);
        }
        let ran = Ran::from(command.output().unwrap());
        ran.json()["findings"].as_array().unwrap().len()
    };
    assert_eq!(found(None, &[]), 10);
    std::fs::write(&file, "[search]\nlimit = 2\n").unwrap();
    assert_eq!(found(None, &[]), 2);
    assert_eq!(found(Some(""), &[]), 2, "an empty variable counts as not set");
    assert_eq!(found(Some("3"), &[]), 3);
    assert_eq!(found(Some("3"), &["--set", "search.limit=4"]), 4);
    assert_eq!(found(Some("3"), &["--limit", "5"]), 5);
    assert_eq!(found(Some("3"), &["--limit", "5", "--set", "search.limit=4"]), 5);
    let other = place.path().join("other.toml");
    std::fs::write(&other, "[search]\nlimit = 6\n").unwrap();
    assert_eq!(found(None, &["--config", "other.toml"]), 6, "instead of codeintel.toml");

    // `--data` is short for `--set data.dir`, and overrides it and the variable.
    let data = place.settings.data.dir.as_str();
    let mut command = place.command(&["status", "--set", "data.dir=nowhere", "--data", data]);
    let ran = command.env("CODEINTEL_DATA_DIR", "elsewhere").output().unwrap();
    assert!(ran.status.success());
    std::fs::write(&file, "[search]\nlimits = 2\n").unwrap();
    let parts = ["search.limits", "\"search.limit\"", "codeintel.toml"];
    place.run(&["status"]).fails(3, &parts);
}

#[test]
fn the_config_command_shows_the_settings_and_the_documented_defaults() {
    let place = Place::new(&[]);
    let defaults = place.run(&["config", "--defaults"]).ok();
    assert_eq!(defaults, include_str!("../../codeintel.toml"));
    let shown = place.run(&["config", "--set", "search.limit=17"]).ok();
    assert!(shown.contains("search.limit = 17  (default: 10)"), "{shown}");
    for key in KEYS {
        assert!(shown.contains(&format!("{} = ", key.name)), "{} is shown", key.name);
        assert!(shown.contains(&key.env()) && shown.contains(key.help), "{}", key.name);
    }
}

#[test]
fn the_help_of_a_flag_is_the_help_of_its_setting() {
    let place = Place::new(&[]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (args, setting) in [
        (&["--help"][..], "data.dir"),
        (&["--help"], "model.name"),
        (&["search", "--help"], "search.limit"),
        (&["serve", "--help"], "serve.address"),
        (&["gc", "--help"], "data.versions_kept"),
    ] {
        let shown = words(&place.run(args).ok());
        assert!(shown.contains(&words(help(setting))), "{args:?} lacks {setting}: {shown}");
    }
    let commands = ["index", "search", "status", "embed", "model", "doctor", "serve", "versions"];
    let all = place.run(&["--help"]).ok();
    for command in commands.iter().chain(&["rollback", "gc", "config", "completions"]) {
        assert!(all.contains(command), "{command}");
        assert!(place.run(&[command, "--help"]).ok().contains("Usage: "), "{command}");
    }
}

#[test]
fn an_old_name_is_read_with_a_warning_on_standard_error() {
    let place = Place::new(&[]);
    let ran = place.run(&["config", "--set", "vllm.url=http://127.0.0.1:1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("endpoint.url = \"http://127.0.0.1:1\""), "{}", ran.out);
    assert_eq!(ran.err.matches("vllm.url is now called endpoint.url").count(), 1, "{}", ran.err);
}
