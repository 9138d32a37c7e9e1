//! Definitions of TypeScript, Java, C#, PHP, Kotlin, Scala and Swift.

use super::*;

/// What `const f = ...` in JavaScript and TypeScript may define instead of a constant.
const JS_FUNCTION: &[When] =
    &[Is("value", &["arrow_function", "function_expression", "generator_function"])];
const JS_CLASS: &[When] = &[Is("value", &["class"])];

/// Also of JavaScript.
pub(in super::super) const TYPESCRIPT: &[Definition] = &[
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
    def_when("field_definition", Method, Path("property"), JS_FUNCTION),
    def_when("variable_declarator", Function, NAME, JS_FUNCTION),
    def_when("variable_declarator", Class, NAME, JS_CLASS),
    def_when("variable_declarator", Constant, NAME, &[Shallow]),
    def("public_field_definition", Field, NAME),
    def("field_definition", Field, Path("property")),
    def_when("property_signature", Field, NAME, &[Inside(&[Some(Trait), Some(Type)])]),
    def_when("required_parameter", Field, Path("pattern"), &[Has("accessibility_modifier")]),
    def_when("optional_parameter", Field, Path("pattern"), &[Has("accessibility_modifier")]),
    def("enum_body", Variant, Each("", &["property_identifier", "enum_assignment"])),
];

const JAVA_FIELDS: Name = Each("", &["variable_declarator"]);

pub(in super::super) const JAVA: &[Definition] = &[
    def("class_declaration", Class, NAME),
    def("record_declaration", Class, NAME),
    def("interface_declaration", Trait, NAME),
    def("annotation_type_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("method_declaration", Method, NAME),
    def("constructor_declaration", Method, NAME),
    def("compact_constructor_declaration", Method, NAME),
    def("field_declaration", Field, JAVA_FIELDS),
    def("constant_declaration", Field, JAVA_FIELDS),
    def("enum_constant", Variant, NAME),
];

const CSHARP_FIELDS: Name = Each("variable_declaration", &["variable_declarator"]);

pub(in super::super) const CSHARP: &[Definition] = &[
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
    def("property_declaration", Field, NAME),
    def("field_declaration", Field, CSHARP_FIELDS),
    def("event_field_declaration", Field, CSHARP_FIELDS),
    def("enum_member_declaration", Variant, NAME),
];

pub(in super::super) const PHP: &[Definition] = &[
    def("namespace_definition", Module, NAME),
    def("class_declaration", Class, NAME),
    def("interface_declaration", Trait, NAME),
    def("trait_declaration", Trait, NAME),
    def("enum_declaration", Enum, NAME),
    def("function_definition", Function, NAME),
    def("method_declaration", Method, NAME),
    def("const_element", Constant, Child(&["name"])),
    def("property_declaration", Field, Each("", &["property_element"])),
    def("property_promotion_parameter", Field, NAME),
    def("enum_case", Variant, NAME),
];

/// Not a variable inside a getter or another block.
const IN_BODY: &[When] =
    &[Parent(&["class_body", "enum_class_body", "template_body"]), OutsideFunctions];

const TYPE_IDENTIFIER: Name = Child(&["type_identifier"]);
const KOTLIN_PROPERTY: Name = Extension("variable_declaration/simple_identifier");

pub(in super::super) const KOTLIN: &[Definition] = &[
    def_when("class_declaration", Trait, TYPE_IDENTIFIER, &[Has("interface")]),
    def_when("class_declaration", Enum, TYPE_IDENTIFIER, &[Has("enum")]),
    def("class_declaration", Class, TYPE_IDENTIFIER),
    def("object_declaration", Class, TYPE_IDENTIFIER),
    def("function_declaration", Function, Extension("simple_identifier")),
    def("type_alias", Type, TYPE_IDENTIFIER),
    def_when("property_declaration", Field, KOTLIN_PROPERTY, IN_BODY),
    def_when("property_declaration", Constant, KOTLIN_PROPERTY, &[TopLevel]),
    def_when("class_parameter", Field, Path("simple_identifier"), &[Has("binding_pattern_kind")]),
    def("enum_entry", Variant, Path("simple_identifier")),
];

const SCALA_VALUE: Name = Path("pattern");

pub(in super::super) const SCALA: &[Definition] = &[
    def("class_definition", Class, NAME),
    def("object_definition", Class, NAME),
    def("package_object", Class, NAME),
    def("trait_definition", Trait, NAME),
    def("enum_definition", Enum, NAME),
    def("function_definition", Function, NAME),
    def("function_declaration", Function, NAME),
    def("type_definition", Type, NAME),
    def("given_definition", Constant, NAME),
    scope("extension_definition", FirstWord("parameters/parameter/type"), &[]),
    def_when("val_definition", Field, SCALA_VALUE, IN_BODY),
    def_when("var_definition", Field, SCALA_VALUE, IN_BODY),
    def_when("val_declaration", Field, NAME, IN_BODY),
    def_when("var_declaration", Field, NAME, IN_BODY),
    def_when("val_definition", Constant, SCALA_VALUE, &[TopLevel]),
    def_when("var_definition", Constant, SCALA_VALUE, &[TopLevel]),
    def_when("class_parameter", Field, NAME, &[Inside(&[Some(Class)])]),
    def("simple_enum_case", Variant, NAME),
    def("full_enum_case", Variant, NAME),
];

pub(in super::super) const SWIFT: &[Definition] = &[
    def_when("class_declaration", Struct, NAME, &[Is("declaration_kind", &["struct"])]),
    def_when("class_declaration", Enum, NAME, &[Is("declaration_kind", &["enum"])]),
    scope("class_declaration", NAME, &[Is("declaration_kind", &["extension"])]),
    def("class_declaration", Class, NAME),
    def("protocol_declaration", Trait, NAME),
    def("function_declaration", Function, NAME),
    def("protocol_function_declaration", Function, NAME),
    def("init_declaration", Method, NAME),
    def("typealias_declaration", Type, NAME),
    def("associatedtype_declaration", Type, NAME),
    def_when("property_declaration", Field, NAME, IN_BODY),
    def_when("property_declaration", Constant, NAME, &[TopLevel]),
    def("protocol_property_declaration", Field, Path("name/bound_identifier")),
    def("enum_entry", Variant, Each("", &["simple_identifier"])),
];
