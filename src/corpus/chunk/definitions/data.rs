//! Definitions of formats of data, documents, schemas and builds.

use super::*;

pub(in super::super) const JSON: &[Definition] = &[def_when("pair", Key, Path("key"), &[Outer(2)])];

pub(in super::super) const YAML: &[Definition] =
    &[def_when("block_mapping_pair", Key, Path("key"), &[Outer(2)])];

const TOML_KEYS: Name = Child(&["bare_key", "dotted_key", "quoted_key"]);

pub(in super::super) const TOML: &[Definition] =
    &[def("table", Key, TOML_KEYS), def("table_array_element", Key, TOML_KEYS)];

pub(in super::super) const CSS: &[Definition] = &[
    def("rule_set", Rule, Child(&["selectors"])),
    def("keyframes_statement", Rule, Child(&["keyframes_name"])),
];

pub(in super::super) const MARKDOWN: &[Definition] = &[
    def("section", Section, Heading),
    // Underlined headings open no section in this grammar.
    def("setext_heading", Section, Path("heading_content")),
];

const OBJECT: Name = Dotted("object_reference");

pub(in super::super) const SQL: &[Definition] = &[
    def("create_table", Struct, OBJECT),
    def("create_view", Struct, OBJECT),
    def("create_materialized_view", Struct, OBJECT),
    def("create_function", Function, OBJECT),
    def("create_trigger", Function, OBJECT),
    def("create_type", Type, OBJECT),
    def("create_schema", Module, Path("identifier")),
    def_when("column_definition", Field, NAME, &[Inside(&[Some(Struct)])]),
];

pub(in super::super) const DOCKERFILE: &[Definition] = &[
    def_when("from_instruction", Module, Path("as"), &[Has("as")]),
    def_when("arg_pair", Constant, NAME, &[Shallow]),
    def_when("env_pair", Constant, NAME, &[Shallow]),
];

pub(in super::super) const TERRAFORM: &[Definition] = &[
    def_when("block", Key, Labels, &[TopLevel, Has("string_lit")]),
    def_when("attribute", Key, Path("identifier"), &[TopLevel]),
];

pub(in super::super) const PROTOBUF: &[Definition] = &[
    def("message", Struct, Child(&["message_name"])),
    def("enum", Enum, Child(&["enum_name"])),
    def("service", Trait, Child(&["service_name"])),
    def("rpc", Method, Child(&["rpc_name"])),
    def("field", Field, Child(&["identifier"])),
    def("map_field", Field, Child(&["identifier"])),
    def("oneof_field", Field, Child(&["identifier"])),
    def("enum_field", Variant, Child(&["identifier"])),
];
