//! Definitions of Haskell and Elixir.

use super::*;

pub(in super::super) const HASKELL: &[Definition] = &[
    def_when("signature", Function, NAME, &[OutsideFunctions]),
    // The type of a function is a node of the same kind, without a match.
    def_when("function", Function, Path("infix/operator"), &[Has("infix"), Has("match")]),
    def_when("function", Function, NAME, &[Has("match")]),
    def_when("bind", Function, NAME, &[OutsideFunctions]),
    def("data_type", Struct, NAME),
    def("newtype", Struct, NAME),
    def("type_synonym", Type, NAME),
    def("type_family", Type, NAME),
    def("data_family", Type, NAME),
    def("class", Trait, NAME),
    scope("instance", FirstWord("patterns"), &[]),
    def("pattern_synonym", Constant, FirstWord("equation/synonym")),
    def("data_constructor", Variant, Path("constructor/name")),
    def("newtype_constructor", Variant, NAME),
    def("gadt_constructor", Variant, NAME),
    def_when("field", Field, NAME, &[OutsideFunctions]),
];

const fn call(kind: SymbolKind, target: &'static [When]) -> Definition {
    Definition { node: "call", kind: Some(kind), name: Argument, when: target }
}

pub(in super::super) const ELIXIR: &[Definition] = &[
    call(Function, &[TextIs("target", &["def", "defp", "defdelegate"])]),
    call(Module, &[TextIs("target", &["defmodule"])]),
    call(Macro, &[TextIs("target", &["defmacro", "defmacrop", "defguard", "defguardp"])]),
    call(Trait, &[TextIs("target", &["defprotocol"])]),
    scope("call", Argument, &[TextIs("target", &["defimpl"])]),
];
