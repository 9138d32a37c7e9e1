//! Edits of files that belong to others: one entry is set or removed, and the rest keeps its bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The fields of an object in their order, each value as it was written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl Fields {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let remedy =
            "add the entry by hand (docs/mcp.md shows it), or remove comments and trailing commas";
        serde_json::from_str(text).map_err(|error| format!("{error}; {remedy}"))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// Sets a field, or removes it; a new field comes last.
    fn set(&mut self, key: &str, value: Option<String>) {
        let value = value.map(|text| RawValue::from_string(text).expect("it was written as JSON"));
        let at = self.0.iter().position(|(name, _)| name == key);
        match (at, value) {
            (Some(at), Some(value)) => self.0[at].1 = value,
            (Some(at), None) => drop(self.0.remove(at)),
            (None, Some(value)) => self.0.push((key.to_owned(), value)),
            (None, None) => {}
        }
    }

    /// The object with a field a line. indent: of the line on which the object begins.
    fn write(&self, indent: &str) -> String {
        let field = |(name, value): &(String, Box<RawValue>)| {
            format!("{indent}  {}: {}", Value::from(name.as_str()), value.get())
        };
        let fields: Vec<String> = self.0.iter().map(field).collect();
        format!("{{\n{}\n{indent}}}", fields.join(",\n"))
    }
}

/// The text of a JSON file in which the object `key` has `entry` as `name`, or not. An object that
/// becomes empty is removed.
pub fn json_entry(
    text: &str,
    key: &str,
    name: &str,
    entry: Option<&Value>,
) -> Result<String, String> {
    let mut file = Fields::parse(text)?;
    let mut servers = Fields::parse(file.get(key).unwrap_or_default())?;
    let written = entry.map(|entry| serde_json::to_string(entry).expect("it is plain data"));
    let same = |old: &str| serde_json::from_str::<Value>(old).ok().as_ref() == entry;
    if servers.get(name).map_or(entry.is_none(), same) {
        return Ok(text.to_owned());
    }
    servers.set(name, written);
    file.set(key, (!servers.0.is_empty()).then(|| servers.write("  ")));
    Ok(if file.0.is_empty() { String::new() } else { file.write("") + "\n" })
}

/// The text of a TOML file in which the table `[key.name]` is `entry`, or not.
pub fn toml_table(
    text: &str,
    key: &str,
    name: &str,
    entry: Option<&Value>,
) -> Result<String, String> {
    text.parse::<toml::Table>().map_err(|error| error.to_string().trim().to_owned())?;
    let header = format!("[{key}.{name}]");
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let mut kept = String::new();
    let mut within = false;
    for line in text.split_inclusive('\n') {
        if is_header(line) {
            within = line.trim() == header;
        }
        if !within {
            kept += line;
        }
    }
    let Some(entry) = entry else { return Ok(kept) };
    let pairs = entry.as_object().into_iter().flatten();
    // A JSON string or list of strings is a TOML value, too.
    let table: String = pairs.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let gap = if kept.trim().is_empty() { "" } else { "\n" };
    Ok(format!("{}{gap}{gap}{header}\n{table}", kept.trim_end()))
}

const BEGIN: &str = "<!-- codeintel: begin -->";
const END: &str = "<!-- codeintel: end -->";

/// A text with `content` between our marks, or without the marks and what is between them.
pub fn block(text: &str, content: Option<&str>) -> String {
    let (before, after) = match text.split_once(BEGIN) {
        Some((before, rest)) => (before, rest.split_once(END).map_or("", |(_, after)| after)),
        None => (text, ""),
    };
    let (before, after) = (before.trim_end(), after.trim());
    let ours = content.map(|content| format!("{BEGIN}\n{content}\n{END}"));
    let parts = [Some(before.to_owned()), ours, Some(after.to_owned())];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { parts.join("\n\n") + "\n" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_entry_is_added_and_removed_and_the_rest_keeps_its_bytes_and_order() {
        let entry = json!({ "command": "codeintel", "args": ["mcp"] });
        let theirs = "{\n  \"z\": {\"b\":1,   \"a\": [1,2]},\n  \"mcpServers\": {\n    \"other\": {\"command\":  \"x\"}\n  }\n}\n";
        let added = json_entry(theirs, "mcpServers", "codeintel", Some(&entry)).unwrap();
        assert!(added.contains("\"z\": {\"b\":1,   \"a\": [1,2]}"), "{added}");
        assert!(added.contains("\"other\": {\"command\":  \"x\"}"), "{added}");
        let value: Value = serde_json::from_str(&added).unwrap();
        assert_eq!(value["mcpServers"]["codeintel"], entry);
        assert_eq!(json_entry(&added, "mcpServers", "codeintel", Some(&entry)).unwrap(), added);
        assert_eq!(json_entry(&added, "mcpServers", "codeintel", None).unwrap(), theirs);

        let made = json_entry("", "servers", "codeintel", Some(&entry)).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&made).unwrap(),
            json!({ "servers": { "codeintel": entry } })
        );
        assert_eq!(json_entry(&made, "servers", "codeintel", None).unwrap(), "");
        for broken in ["[1]", "{\"mcpServers\": 7}", "{ // settings\n}"] {
            let error = json_entry(broken, "mcpServers", "codeintel", Some(&entry)).unwrap_err();
            assert!(error.contains("by hand"), "{error}");
        }
    }

    #[test]
    fn a_toml_table_is_added_and_removed_and_comments_stay() {
        let entry = json!({ "command": "codeintel", "args": ["mcp"] });
        let theirs = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\ncommand = \"y\"\n";
        let added = toml_table(theirs, "mcp_servers", "codeintel", Some(&entry)).unwrap();
        let value: toml::Table = added.parse().unwrap();
        assert_eq!(value["mcp_servers"]["codeintel"]["args"][0].as_str(), Some("mcp"));
        assert!(added.starts_with(theirs), "{added}");
        assert_eq!(toml_table(&added, "mcp_servers", "codeintel", Some(&entry)).unwrap(), added);
        let removed = toml_table(&added, "mcp_servers", "codeintel", None).unwrap();
        assert_eq!(removed.trim_end(), theirs.trim_end());
        assert!(toml_table("a = ", "mcp_servers", "codeintel", None).is_err());
    }

    #[test]
    fn a_block_is_replaced_and_removed_between_its_marks() {
        let with = block("# Rules\n\nBe kind.\n", Some("one"));
        assert_eq!(with, format!("# Rules\n\nBe kind.\n\n{BEGIN}\none\n{END}\n"));
        let longer = format!("{with}\nThe end.\n");
        assert_eq!(block(&longer, Some("two")), longer.replace("one", "two"));
        assert_eq!(block(&longer, None), "# Rules\n\nBe kind.\n\nThe end.\n");
        assert_eq!(block(&block("", Some("one")), None), "");
    }
}
