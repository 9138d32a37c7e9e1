//! Configuring agents: the change is shown first, written on request, and undone.

use std::fs;

use crate::support::Place;

#[test]
fn an_agent_is_configured_only_on_request_and_the_change_is_undone() {
    let place = Place::uncached(&[]);
    let configuration = place.path().join(".cursor/mcp.json");
    let instructions = place.path().join("AGENTS.md");
    fs::create_dir_all(configuration.parent().unwrap()).unwrap();
    let theirs = "{\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\"}\n  }\n}\n";
    fs::write(&configuration, theirs).unwrap();

    let shown = place.run(&["install", "cursor"]).ok();
    for part in ["change ", ".cursor/mcp.json", "create ", "AGENTS.md", "+ ", "nothing was written"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(fs::read_to_string(&configuration).unwrap(), theirs);
    assert!(!instructions.exists());

    place.run(&["install", "cursor", "--yes"]).ok();
    let written = fs::read_to_string(&configuration).unwrap();
    let json: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(json["mcpServers"]["codeintel"]["args"][0], "mcp");
    assert_eq!(json["mcpServers"]["other"]["command"], "x");
    assert!(fs::read_to_string(&instructions).unwrap().contains("semantic_search"));
    assert!(place.run(&["install", "cursor", "--yes"]).ok().contains("nothing to change"));

    place.run(&["uninstall", "cursor", "--yes"]).ok();
    assert_eq!(fs::read_to_string(&configuration).unwrap(), theirs);
    assert!(!instructions.exists());
}

#[test]
fn a_configuration_that_cannot_be_edited_is_named_and_stays() {
    let place = Place::uncached(&[]);
    let configuration = place.path().join(".zed/settings.json");
    fs::create_dir_all(configuration.parent().unwrap()).unwrap();
    let theirs = "{\n  // mine\n  \"theme\": \"One\",\n}\n";
    fs::write(&configuration, theirs).unwrap();
    place.run(&["install", "zed", "--yes"]).fails(3, &["settings.json", "by hand"]);
    assert_eq!(fs::read_to_string(&configuration).unwrap(), theirs);
    place.run(&["install", "emacs"]).fails(2, &["claude-code", "zed"]);
}
