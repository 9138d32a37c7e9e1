//! Definitions of Python, Ruby, Bash, Lua and Make.

use super::*;

pub(in super::super) const PYTHON: &[Definition] = &[
    def("class_definition", Class, NAME),
    def("function_definition", Function, NAME),
    def("type_alias_statement", Type, Path("left")),
    def_when("assignment", Constant, Path("left"), &[Shallow]),
    def_when(
        "assignment",
        Field,
        Path("left/attribute"),
        &[InFunction("__init__"), TextIs("left/object", &["self"])],
    ),
];

pub(in super::super) const RUBY: &[Definition] = &[
    def("class", Class, NAME),
    def("module", Module, NAME),
    def("method", Function, NAME),
    def("singleton_method", Function, NAME),
    def_when("assignment", Constant, Path("left"), &[Is("left", &["constant"])]),
    def_when(
        "call",
        Field,
        Each("arguments", &["simple_symbol"]),
        &[TextIs("method", &["attr_accessor", "attr_reader", "attr_writer"]), OutsideFunctions],
    ),
];

pub(in super::super) const BASH: &[Definition] = &[
    def("function_definition", Function, NAME),
    def_when("variable_assignment", Constant, NAME, &[Shallow]),
];

const LUA_FUNCTION: When = Is("expression_list/value", &["function_definition"]);
const LUA_VARIABLE: Name = Dotted("variable_list/name");

pub(in super::super) const LUA: &[Definition] = &[
    def_when(
        "function_declaration",
        Method,
        Dotted("name"),
        &[Is("name", &["method_index_expression"])],
    ),
    def("function_declaration", Function, Dotted("name")),
    def_when("assignment_statement", Function, LUA_VARIABLE, &[LUA_FUNCTION]),
    def_when("assignment_statement", Constant, LUA_VARIABLE, &[Shallow]),
    def_when("field", Function, NAME, &[Is("value", &["function_definition"]), OutsideFunctions]),
];

pub(in super::super) const MAKE: &[Definition] = &[
    // These name no target.
    scope("rule", Child(&["targets"]), &[TextIs("targets", &[".PHONY", ".SUFFIXES", ".PRECIOUS"])]),
    def("rule", Rule, Child(&["targets"])),
    def("define_directive", Macro, NAME),
    def_when("variable_assignment", Constant, NAME, &[Shallow]),
];
