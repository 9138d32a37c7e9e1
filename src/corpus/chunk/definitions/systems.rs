//! Definitions of Rust, Go, C, C++ and Zig.

use super::*;

pub(in super::super) const RUST: &[Definition] = &[
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
    scope("impl_item", TypeField, &[]),
    def("field_declaration", Field, NAME),
    def("enum_variant", Variant, NAME),
];

pub(in super::super) const GO: &[Definition] = &[
    def("function_declaration", Function, NAME),
    def("method_declaration", Method, Receiver),
    def("method_elem", Method, NAME),
    def_when("type_spec", Struct, NAME, &[Is("type", &["struct_type"])]),
    def_when("type_spec", Trait, NAME, &[Is("type", &["interface_type"])]),
    def("type_spec", Type, NAME),
    def("type_alias", Type, NAME),
    def_when("const_spec", Constant, NAME, &[Shallow]),
    def_when("var_spec", Constant, NAME, &[Shallow]),
    def_when(
        "field_declaration",
        Field,
        Each("", &["field_identifier"]),
        &[Inside(&[Some(Struct)])],
    ),
];

const DECLARES_FUNCTION: &[When] = &[Is("declarator", &["function_declarator"])];
const HAS_BODY: &[When] = &[Has("body")];

pub(in super::super) const C: &[Definition] = &[
    def("function_definition", Function, Declarator),
    def_when("declaration", Function, Declarator, DECLARES_FUNCTION),
    def_when(
        "declaration",
        Constant,
        Declarator,
        &[Is("declarator", &["init_declarator"]), Shallow],
    ),
    def_when("struct_specifier", Struct, NAME, HAS_BODY),
    def_when("union_specifier", Struct, NAME, HAS_BODY),
    def_when("enum_specifier", Enum, NAME, HAS_BODY),
    def("type_definition", Type, Declarator),
    def("preproc_def", Macro, NAME),
    def("preproc_function_def", Macro, NAME),
    def_when("field_declaration", Field, Declarator, &[OutsideFunctions]),
    def_when("enumerator", Variant, NAME, &[OutsideFunctions]),
];

pub(in super::super) const CPP: &[Definition] = &[
    def("function_definition", Function, Declarator),
    def_when("declaration", Function, Declarator, DECLARES_FUNCTION),
    def_when(
        "declaration",
        Constant,
        Declarator,
        &[Is("declarator", &["init_declarator"]), Shallow],
    ),
    def_when("field_declaration", Function, Declarator, DECLARES_FUNCTION),
    def_when("class_specifier", Class, NAME, HAS_BODY),
    def_when("struct_specifier", Struct, NAME, HAS_BODY),
    def_when("union_specifier", Struct, NAME, HAS_BODY),
    def_when("enum_specifier", Enum, NAME, HAS_BODY),
    def_when("namespace_definition", Module, NAME, &[Has("name")]),
    def("type_definition", Type, Declarator),
    def("alias_declaration", Type, NAME),
    def("concept_definition", Trait, NAME),
    def("preproc_def", Macro, NAME),
    def("preproc_function_def", Macro, NAME),
    def_when("field_declaration", Field, Declarator, &[OutsideFunctions]),
    def_when("enumerator", Variant, NAME, &[OutsideFunctions]),
];

const ZIG_NAME: Name = Child(&["identifier"]);

pub(in super::super) const ZIG: &[Definition] = &[
    def("function_declaration", Function, NAME),
    def_when("variable_declaration", Struct, ZIG_NAME, &[Has("struct_declaration")]),
    def_when("variable_declaration", Struct, ZIG_NAME, &[Has("union_declaration")]),
    def_when("variable_declaration", Struct, ZIG_NAME, &[Has("opaque_declaration")]),
    def_when("variable_declaration", Enum, ZIG_NAME, &[Has("enum_declaration")]),
    def_when("variable_declaration", Enum, ZIG_NAME, &[Has("error_set_declaration")]),
    def_when("variable_declaration", Constant, ZIG_NAME, &[Shallow]),
    def_when("container_field", Variant, NAME, &[Inside(&[Some(Enum)])]),
    def("container_field", Field, NAME),
    def_when("error_set_declaration", Variant, Each("", &["identifier"]), &[Inside(&[Some(Enum)])]),
];
