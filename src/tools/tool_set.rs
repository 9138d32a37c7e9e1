//! ToolSet: the table of tools, or the part of it that an interface offers.

use std::sync::LazyLock;

use super::tool::Tool;
use super::{
    blame_range, deep_search, definition_at, fetch, file_history, find_related, impact,
    index_status, latest_run, list_paths, open_file, outline, references_at, reindex, repo_facts,
    repo_map, scope, search_text, semantic_search, symbol_search,
};
use crate::base::error::{Error, Result};
use crate::base::text::prefix;

/// The table of tools, in the order in which clients list them.
static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        Tool::new(&semantic_search::SPEC, semantic_search::run),
        Tool::new(&semantic_search::PRO_SPEC, semantic_search::run_pro),
        Tool::new(&deep_search::SPEC, deep_search::run),
        Tool::new(&fetch::SPEC, fetch::run),
        Tool::new(&find_related::SPEC, find_related::run),
        Tool::new(&search_text::SPEC, search_text::run),
        Tool::new(&list_paths::SPEC, list_paths::run),
        Tool::new(&open_file::SPEC, open_file::run),
        Tool::new(&outline::SPEC, outline::run),
        Tool::new(&repo_map::SPEC, repo_map::run),
        Tool::new(&repo_facts::SPEC, repo_facts::run),
        Tool::new(&symbol_search::SPEC, symbol_search::run),
        Tool::new(&definition_at::SPEC, definition_at::run),
        Tool::new(&references_at::SPEC, references_at::run),
        Tool::new(&impact::SPEC, impact::run),
        Tool::new(&blame_range::SPEC, blame_range::run),
        Tool::new(&file_history::SPEC, file_history::run),
        Tool::new(&scope::SPEC, scope::run),
        Tool::new(&index_status::SPEC, index_status::run),
        Tool::new(&reindex::SPEC, reindex::run),
        Tool::new(&latest_run::SPEC, latest_run::run),
    ]
});

/// The tools that an interface offers.
#[derive(Clone)]
pub struct ToolSet(Vec<&'static Tool>);

impl ToolSet {
    /// Every tool.
    pub fn all() -> Self {
        Self(TOOLS.iter().collect())
    }

    /// The tools of a comma-separated list; every tool if it is empty.
    pub fn parse(names: &str) -> Result<Self> {
        let all = Self::all();
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            return Ok(all);
        }
        let wanted = names.map(|name| Ok(all.find(name)?.spec.name)).collect::<Result<Vec<_>>>()?;
        Ok(Self(all.0.into_iter().filter(|tool| wanted.contains(&tool.spec.name)).collect()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &'static Tool> + use<'_> {
        self.0.iter().copied()
    }

    /// The tool called `name`. The error names the nearest one.
    pub fn find(&self, name: &str) -> Result<&'static Tool> {
        if let Some(tool) = self.iter().find(|tool| tool.spec.name == name) {
            return Ok(tool);
        }
        let name = prefix(name, 100);
        let distance = |tool: &&str| strsim::damerau_levenshtein(name, tool);
        let names: Vec<&str> = self.iter().map(|tool| tool.spec.name).collect();
        let nearest = names.iter().copied().min_by_key(distance);
        let nearest = match nearest.filter(|tool| distance(tool) <= name.len() / 2) {
            Some(tool) => format!("{tool}, the nearest, or another of "),
            None => String::new(),
        };
        let expected = format!("{nearest}{}", names.join(", "));
        Err(Error::Argument { name: "tool", value: format!("{name:?}"), expected })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_tool_is_described_for_a_model_and_has_a_label_of_its_own() {
        let all = ToolSet::all();
        let mut labels = HashSet::new();
        for tool in all.iter() {
            let spec = tool.spec;
            let is_name = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
            assert!(spec.name.chars().all(is_name), "{}", spec.name);
            assert!(!spec.title.is_empty() && spec.description.len() > 60, "{}", spec.name);
            assert!(labels.insert(spec.label), "{} shares its label", spec.name);
            for schema in [&tool.input_schema, &tool.output_schema] {
                assert_eq!(schema.get("type").unwrap(), "object", "{}", spec.name);
            }
            let properties = tool.input_schema.get("properties").and_then(|p| p.as_object());
            for (argument, schema) in properties.into_iter().flatten() {
                let described = schema.get("description").is_some();
                let is_obvious =
                    matches!(argument.as_str(), "options" | "filters" | "resolve" | "limit");
                assert!(described || is_obvious, "{}: {argument}", spec.name);
            }
        }
    }

    #[test]
    fn a_list_of_names_selects_tools_in_the_order_of_the_table() {
        let names = |set: ToolSet| set.iter().map(|tool| tool.spec.name).collect::<Vec<_>>();
        let all = names(ToolSet::all());
        assert_eq!(names(ToolSet::parse("").unwrap()), all);
        assert_eq!(
            names(ToolSet::parse(" open_file,semantic_search ,").unwrap()),
            ["semantic_search", "open_file"]
        );
        let error = ToolSet::parse("semantic_serch").err().unwrap().to_string();
        assert!(error.contains("semantic_search, the nearest, or another of"), "{error}");
    }
}
