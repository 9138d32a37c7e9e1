//! The table of languages with a grammar: one row per language.
//!
//! `grammar_spec.rs` explains the columns, and `definitions/` has the nodes that define something.

use super::definitions::*;
use super::grammar_spec::GrammarSpec;
use crate::corpus::source::Language;

const COMMENT: &[&str] = &["comment"];
const JS_IDENTIFIERS: &[&str] =
    &["identifier", "type_identifier", "property_identifier", "shorthand_property_identifier"];
const C_IDENTIFIERS: &[&str] = &["identifier", "type_identifier", "field_identifier"];
const CPP_IDENTIFIERS: &[&str] =
    &["identifier", "type_identifier", "field_identifier", "namespace_identifier"];

/// The default of each column.
const PLAIN: GrammarSpec = GrammarSpec {
    language: Language::Text,
    load: || tree_sitter_json::LANGUAGE.into(),
    separator: ".",
    definitions: &[],
    comments: COMMENT,
    attributes: &[],
    identifiers: &[],
    bodies: &[],
    docstrings: false,
    clauses: false,
};

/// Every language with a grammar.
pub(super) static GRAMMARS: [GrammarSpec; 31] = [
    GrammarSpec {
        language: Language::Rust,
        load: || tree_sitter_rust::LANGUAGE.into(),
        separator: "::",
        definitions: RUST,
        comments: &["line_comment", "block_comment"],
        attributes: &["attribute_item"],
        identifiers: &["identifier", "type_identifier", "field_identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Python,
        load: || tree_sitter_python::LANGUAGE.into(),
        definitions: PYTHON,
        attributes: &["decorator"],
        identifiers: &["identifier"],
        docstrings: true,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::TypeScript,
        load: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        definitions: TYPESCRIPT,
        attributes: &["decorator"],
        identifiers: JS_IDENTIFIERS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Tsx,
        load: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        definitions: TYPESCRIPT,
        attributes: &["decorator"],
        identifiers: JS_IDENTIFIERS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::JavaScript,
        load: || tree_sitter_javascript::LANGUAGE.into(),
        definitions: TYPESCRIPT,
        attributes: &["decorator"],
        identifiers: JS_IDENTIFIERS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Go,
        load: || tree_sitter_go::LANGUAGE.into(),
        definitions: GO,
        identifiers: &["identifier", "type_identifier", "field_identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Java,
        load: || tree_sitter_java::LANGUAGE.into(),
        definitions: JAVA,
        comments: &["line_comment", "block_comment"],
        attributes: &["annotation", "marker_annotation"],
        identifiers: &["identifier", "type_identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::C,
        load: || tree_sitter_c::LANGUAGE.into(),
        definitions: C,
        identifiers: C_IDENTIFIERS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Cpp,
        load: || tree_sitter_cpp::LANGUAGE.into(),
        separator: "::",
        definitions: CPP,
        identifiers: CPP_IDENTIFIERS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::CSharp,
        load: || tree_sitter_c_sharp::LANGUAGE.into(),
        definitions: CSHARP,
        attributes: &["attribute_list"],
        identifiers: &["identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Ruby,
        load: || tree_sitter_ruby::LANGUAGE.into(),
        definitions: RUBY,
        identifiers: &["identifier", "constant"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Php,
        load: || tree_sitter_php::LANGUAGE_PHP.into(),
        definitions: PHP,
        attributes: &["attribute_list"],
        identifiers: &["name"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Bash,
        load: || tree_sitter_bash::LANGUAGE.into(),
        definitions: BASH,
        identifiers: &["command_name", "variable_name"],
        ..PLAIN
    },
    GrammarSpec { language: Language::Json, definitions: JSON, ..PLAIN },
    GrammarSpec {
        language: Language::Yaml,
        load: || tree_sitter_yaml::LANGUAGE.into(),
        definitions: YAML,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Toml,
        load: || tree_sitter_toml_ng::LANGUAGE.into(),
        definitions: TOML,
        ..PLAIN
    },
    GrammarSpec { language: Language::Html, load: || tree_sitter_html::LANGUAGE.into(), ..PLAIN },
    GrammarSpec {
        language: Language::Css,
        load: || tree_sitter_css::LANGUAGE.into(),
        definitions: CSS,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Markdown,
        load: || tree_sitter_md::LANGUAGE.into(),
        definitions: MARKDOWN,
        comments: &[],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Kotlin,
        load: || tree_sitter_kotlin_sg::LANGUAGE.into(),
        definitions: KOTLIN,
        comments: &["line_comment", "multiline_comment"],
        attributes: &["annotation"],
        identifiers: &["simple_identifier", "type_identifier"],
        bodies: &["class_body", "enum_class_body", "function_body", "getter"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Scala,
        load: || tree_sitter_scala::LANGUAGE.into(),
        definitions: SCALA,
        comments: &["comment", "block_comment"],
        attributes: &["annotation"],
        identifiers: &["identifier", "type_identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Swift,
        load: || tree_sitter_swift::LANGUAGE.into(),
        definitions: SWIFT,
        comments: &["comment", "multiline_comment"],
        attributes: &["attribute"],
        identifiers: &["simple_identifier", "type_identifier"],
        bodies: &["computed_value"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Lua,
        load: || tree_sitter_lua::LANGUAGE.into(),
        definitions: LUA,
        identifiers: &["identifier"],
        bodies: &["expression_list/value/body"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Elixir,
        load: || tree_sitter_elixir::LANGUAGE.into(),
        definitions: ELIXIR,
        attributes: &["unary_operator"],
        identifiers: &["identifier", "alias"],
        bodies: &["do_block"],
        docstrings: true,
        clauses: true,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Haskell,
        load: || tree_sitter_haskell::LANGUAGE.into(),
        definitions: HASKELL,
        comments: &["comment", "haddock"],
        identifiers: &["variable", "name", "constructor"],
        bodies: &["match", "declarations", "constructors"],
        clauses: true,
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Zig,
        load: || tree_sitter_zig::LANGUAGE.into(),
        definitions: ZIG,
        identifiers: &["identifier"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Sql,
        load: || tree_sitter_sequel::LANGUAGE.into(),
        definitions: SQL,
        comments: &["comment", "marginalia"],
        identifiers: &["identifier"],
        bodies: &["column_definitions", "create_query", "function_body"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Dockerfile,
        load: || tree_sitter_containerfile::LANGUAGE.into(),
        definitions: DOCKERFILE,
        identifiers: &["image_name", "variable"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Make,
        load: || tree_sitter_make::LANGUAGE.into(),
        definitions: MAKE,
        identifiers: &["word"],
        bodies: &["recipe"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Terraform,
        load: || tree_sitter_hcl::LANGUAGE.into(),
        definitions: TERRAFORM,
        identifiers: &["identifier"],
        bodies: &["block_start"],
        ..PLAIN
    },
    GrammarSpec {
        language: Language::Protobuf,
        load: || tree_sitter_proto::LANGUAGE.into(),
        definitions: PROTOBUF,
        identifiers: &["identifier"],
        bodies: &["message_body", "enum_body"],
        ..PLAIN
    },
];
