//! The table of languages with a grammar, and the nodes of each that define something.
//!
//! One row per language. `grammar_spec.rs` explains the columns.

use super::SymbolKind::{self, *};
use super::grammar_spec::Name::{self, *};
use super::grammar_spec::When::{self, *};
use super::grammar_spec::{Definition, GrammarSpec};
use crate::corpus::source::Language;

const fn def(node: &'static str, kind: SymbolKind, name: Name) -> Definition {
    Definition { node, kind: Some(kind), name, when: Always }
}

const fn def_when(node: &'static str, kind: SymbolKind, name: Name, when: When) -> Definition {
    Definition { node, kind: Some(kind), name, when }
}

const NAME: Name = Field("name");

/// What `const f = ...` in JavaScript and TypeScript may define instead of a constant.
const JS_FUNCTION: When =
    FieldIs("value", &["arrow_function", "function_expression", "generator_function"]);
const JS_CLASS: When = FieldIs("value", &["class"]);

const RUST: &[Definition] = &[
    def("function_item", Function, NAME),
    def("function_signature_item", Function, NAME),
    def("struct_item", Struct, NAME),
    def("union_item", Struct, NAME),
    def("enum_item", Enum, NAME),
    def("trait_item", Trait, NAME),
    def("mod_item", Module, NAME),
    def("const_item", Constant, NAME),
    def("static_item", Constant, NAME),
    def("macro_definition", Macro, NAME),
    def("type_item", Type, NAME),
    def("associated_type", Type, NAME),
    Definition { node: "impl_item", kind: None, name: TypeField, when: Always },
];

const PYTHON: &[Definition] = &[
    def("class_definition", Class, NAME),
    def("function_definition", Function, NAME),
    def("type_alias_statement", Type, Field("left")),
    def_when("assignment", Constant, Field("left"), Shallow),
];

const TYPESCRIPT: &[Definition] = &[
    def("function_declaration", Function, NAME),
    def("generator_function_declaration", Function, NAME),
    def("function_signature", Function, NAME),
    def("class_declaration", Class, NAME),
    def("abstract_class_declaration", Class, NAME),
    def("interface_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("type_alias_declaration", Type, NAME),
    def("internal_module", Module, NAME),
    def("module", Module, NAME),
    def("method_definition", Method, NAME),
    def("method_signature", Method, NAME),
    def("abstract_method_signature", Method, NAME),
    def_when("public_field_definition", Method, NAME, JS_FUNCTION),
    def_when("field_definition", Method, Field("property"), JS_FUNCTION),
    def_when("variable_declarator", Function, NAME, JS_FUNCTION),
    def_when("variable_declarator", Class, NAME, JS_CLASS),
    def_when("variable_declarator", Constant, NAME, Shallow),
];

const GO: &[Definition] = &[
    def("function_declaration", Function, NAME),
    def("method_declaration", Method, Receiver),
    def_when("type_spec", Struct, NAME, FieldIs("type", &["struct_type"])),
    def_when("type_spec", Trait, NAME, FieldIs("type", &["interface_type"])),
    def("type_spec", Type, NAME),
    def("type_alias", Type, NAME),
    def_when("const_spec", Constant, NAME, Shallow),
    def_when("var_spec", Constant, NAME, Shallow),
];

const JAVA: &[Definition] = &[
    def("class_declaration", Class, NAME),
    def("record_declaration", Class, NAME),
    def("interface_declaration", Trait, NAME),
    def("annotation_type_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("method_declaration", Method, NAME),
    def("constructor_declaration", Method, NAME),
    def("compact_constructor_declaration", Method, NAME),
];

const C: &[Definition] = &[
    def("function_definition", Function, Declarator),
    def_when("declaration", Function, Declarator, FieldIs("declarator", &["function_declarator"])),
    def_when("struct_specifier", Struct, NAME, Has("body")),
    def_when("union_specifier", Struct, NAME, Has("body")),
    def_when("enum_specifier", Enum, NAME, Has("body")),
    def("type_definition", Type, Declarator),
    def("preproc_def", Macro, NAME),
    def("preproc_function_def", Macro, NAME),
];

const CPP: &[Definition] = &[
    def("function_definition", Function, Declarator),
    def_when("declaration", Function, Declarator, FieldIs("declarator", &["function_declarator"])),
    def_when(
        "field_declaration",
        Function,
        Declarator,
        FieldIs("declarator", &["function_declarator"]),
    ),
    def_when("class_specifier", Class, NAME, Has("body")),
    def_when("struct_specifier", Struct, NAME, Has("body")),
    def_when("union_specifier", Struct, NAME, Has("body")),
    def_when("enum_specifier", Enum, NAME, Has("body")),
    def_when("namespace_definition", Module, NAME, Has("name")),
    def("type_definition", Type, Declarator),
    def("alias_declaration", Type, NAME),
    def("concept_definition", Trait, NAME),
    def("preproc_def", Macro, NAME),
    def("preproc_function_def", Macro, NAME),
];

const CSHARP: &[Definition] = &[
    def("namespace_declaration", Module, NAME),
    def("file_scoped_namespace_declaration", Module, NAME),
    def("class_declaration", Class, NAME),
    def("record_declaration", Class, NAME),
    def("struct_declaration", Struct, NAME),
    def("interface_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("delegate_declaration", Type, NAME),
    def("method_declaration", Method, NAME),
    def("constructor_declaration", Method, NAME),
    def("local_function_statement", Function, NAME),
];

const RUBY: &[Definition] = &[
    def("class", Class, NAME),
    def("module", Module, NAME),
    def("method", Function, NAME),
    def("singleton_method", Function, NAME),
    def_when("assignment", Constant, Field("left"), FieldIs("left", &["constant"])),
];

const PHP: &[Definition] = &[
    def("namespace_definition", Module, NAME),
    def("class_declaration", Class, NAME),
    def("interface_declaration", Trait, NAME),
    def("trait_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("function_definition", Function, NAME),
    def("method_declaration", Method, NAME),
    def("const_element", Constant, Child(&["name"])),
];

const BASH: &[Definition] = &[
    def("function_definition", Function, NAME),
    def_when("variable_assignment", Constant, NAME, Shallow),
];

const JSON: &[Definition] = &[def_when("pair", Key, Field("key"), Outer(2))];

const YAML: &[Definition] = &[def_when("block_mapping_pair", Key, Field("key"), Outer(2))];

const TOML_KEYS: Name = Child(&["bare_key", "dotted_key", "quoted_key"]);
const TOML: &[Definition] =
    &[def("table", Key, TOML_KEYS), def("table_array_element", Key, TOML_KEYS)];

const CSS: &[Definition] = &[
    def("rule_set", Rule, Child(&["selectors"])),
    def("keyframes_statement", Rule, Child(&["keyframes_name"])),
];

const MARKDOWN: &[Definition] = &[
    def("section", Section, Heading),
    // Underlined headings open no section in this grammar.
    def("setext_heading", Section, Field("heading_content")),
];

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
    docstrings: false,
};

/// Every language with a grammar.
pub(super) static GRAMMARS: [GrammarSpec; 19] = [
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
];
