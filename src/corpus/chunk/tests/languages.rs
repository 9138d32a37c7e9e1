//! The definitions of the languages that are read by grammars of their own communities.

use super::definitions::{check, signature_and_doc};

#[test]
fn kotlin_definitions_are_found() {
    let text = include_str!("fixtures/a.kt");
    let made = check(
        "a.kt",
        text,
        &[
            "class Foo",
            "field Foo.x",
            "field Foo.y",
            "field Foo.LIMIT",
            "method Foo.make",
            "field Foo.size",
            "method Foo.run",
            "enum Foo.E",
            "variant Foo.E.A",
            "variant Foo.E.B",
            "class Foo.Inner",
            "trait Shape",
            "method Shape.area",
            "class Single",
            "method Single.f",
            "method List.second",
            "constant String.half",
            "constant TOP",
            "type Id",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "Foo"),
        ("data class Foo<T>(val x: T, var y: Int) : Bar(), Baz", Some("A foo."))
    );
    assert_eq!(signature_and_doc(&made, "run"), ("suspend fun run(n: Int): String", Some("Runs.")));
    assert_eq!(signature_and_doc(&made, "half"), ("val String.half: Int", None));
}

#[test]
fn scala_definitions_are_found() {
    let text = include_str!("fixtures/a.scala");
    let made = check(
        "a.scala",
        text,
        &[
            "class Foo",
            "field Foo.x",
            "field Foo.y",
            "field Foo.size",
            "field Foo.count",
            "type Foo.Id",
            "method Foo.run",
            "class Foo",
            "method Foo.make",
            "trait Shape",
            "method Shape.area",
            "field Shape.name",
            "enum Color",
            "variant Color.Red",
            "variant Color.Green",
            "method String.half",
            "constant ordering",
            "function ordering.compare",
            "class Ops",
            "field Ops.x",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "Foo"),
        ("final case class Foo[T](x: T, y: Int) extends Bar with Baz", Some("A foo."))
    );
    assert_eq!(signature_and_doc(&made, "run"), ("def run(n: Int): String", Some("Runs.")));
}

#[test]
fn swift_definitions_are_found() {
    let text = include_str!("fixtures/a.swift");
    let made = check(
        "a.swift",
        text,
        &[
            "class Foo",
            "field Foo.size",
            "field Foo.half",
            "field Foo.shared",
            "method Foo.init",
            "method Foo.run",
            "struct Point",
            "field Point.x",
            "enum Color",
            "variant Color.red",
            "variant Color.green",
            "variant Color.blue",
            "method Color.f",
            "trait Shape",
            "type Shape.Unit",
            "field Shape.area",
            "method Shape.draw",
            "method Foo.draw",
            "method Array.Sub.second",
            "class Store",
            "type Id",
            "constant top",
            "function free",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Foo"), ("public final class Foo<T>: Bar", Some("A foo.")));
    assert_eq!(signature_and_doc(&made, "run"), ("func run(_ n: Int) -> String", Some("Runs.")));
}

#[test]
fn lua_definitions_are_found() {
    let text = include_str!("fixtures/a.lua");
    let made = check(
        "a.lua",
        text,
        &[
            "constant M",
            "function M.run",
            "function M.run.inner",
            "method M.method",
            "function M.other",
            "constant M.limit",
            "function helper",
            "function f",
            "function global",
            "constant LIMIT",
            "constant M.config",
            "function M.config.run",
            "constant a",
            "function a.b.c",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "run"),
        ("function M.run(x)", Some("Runs.\n@param x a number"))
    );
    assert_eq!(signature_and_doc(&made, "other"), ("M.other = function(a) end", None));
}

#[test]
fn zig_definitions_are_found() {
    let text = include_str!("fixtures/a.zig");
    let made = check(
        "a.zig",
        text,
        &[
            "struct Point",
            "field Point.x",
            "field Point.y",
            "constant Point.origin",
            "method Point.add",
            "enum Color",
            "variant Color.red",
            "variant Color.green",
            "struct Shape",
            "field Shape.circle",
            "field Shape.square",
            "enum Err",
            "variant Err.OutOfMemory",
            "variant Err.Bad",
            "constant limit",
            "constant counter",
            "function List",
            "field List.items",
            "function List.len",
            "function c_fn",
            "function main",
            "struct Opaque",
            "constant Alias",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Point"), ("pub const Point = struct", Some("A point.")));
    assert_eq!(
        signature_and_doc(&made, "add"),
        ("pub fn add(self: Point, other: Point) Point", Some("Adds."))
    );
}

#[test]
fn elixir_definitions_are_found() {
    let text = include_str!("fixtures/a.ex");
    let made = check(
        "a.ex",
        text,
        &[
            "module Foo.Bar",
            "function Foo.Bar.run",
            "function Foo.Bar.helper",
            "macro Foo.Bar.check",
            "macro Foo.Bar.is_small",
            "function Foo.Bar.size",
            "function Foo.Bar.+",
            "function Foo.Bar.noargs",
            "module Foo.Bar.Inner",
            "function Foo.Bar.Inner.f",
            "trait Size",
            "method Size.size",
            "method Size.size",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Bar"), ("defmodule Foo.Bar", Some("A foo.\n\nMore.")));
    assert_eq!(signature_and_doc(&made, "run"), ("def run(n) when n > 0", Some("Runs.")));
    assert_eq!(
        signature_and_doc(&made, "helper"),
        ("defp helper(a, b \\\\ 1), do: a + b", Some("Helps."))
    );
}

#[test]
fn haskell_definitions_are_found() {
    let text = include_str!("fixtures/a.hs");
    let made = check(
        "a.hs",
        text,
        &[
            "struct Foo",
            "variant Foo.Foo",
            "field Foo.fooX",
            "field Foo.fooY",
            "variant Foo.Bar",
            "struct Id",
            "variant Id.Id",
            "field Id.unId",
            "type Alias",
            "trait Shape",
            "type Shape.Unit",
            "method Shape.area",
            "method Foo.area",
            "function run",
            "function run.local",
            "function <+>",
            "function limit",
            "function pair",
            "function noSig",
            "struct G",
            "variant G.GInt",
            "type F",
            "constant P",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Foo"), ("data Foo a", Some("A foo.")));
    assert_eq!(signature_and_doc(&made, "run"), ("run :: Int -> String", Some("Runs.")));
    assert_eq!(signature_and_doc(&made, "Shape"), ("class Show a => Shape a", Some("A shape.")));
}

#[test]
fn sql_definitions_are_found() {
    let text = include_str!("fixtures/a.sql");
    let made = check(
        "a.sql",
        text,
        &[
            "struct app.users",
            "field app.users.id",
            "field app.users.name",
            "struct active",
            "struct mat",
            "function count_users",
            "type mood",
            "function trig",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "users"),
        ("CREATE TABLE IF NOT EXISTS app.users", Some("Users."))
    );
    assert_eq!(
        signature_and_doc(&made, "count_users"),
        ("CREATE OR REPLACE FUNCTION count_users(a int) RETURNS integer", Some("Counts."))
    );
}

#[test]
fn protobuf_definitions_are_found() {
    let text = include_str!("fixtures/a.proto");
    let made = check(
        "a.proto",
        text,
        &[
            "struct Foo",
            "field Foo.name",
            "field Foo.bars",
            "field Foo.m",
            "field Foo.a",
            "struct Foo.Inner",
            "field Foo.Inner.x",
            "enum Foo.E",
            "variant Foo.E.UNKNOWN",
            "enum Color",
            "variant Color.RED",
            "variant Color.GREEN",
            "trait Server",
            "method Server.Run",
            "method Server.Stop",
            "field o",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Foo"), ("message Foo", Some("A foo.")));
    assert_eq!(
        signature_and_doc(&made, "Run"),
        ("rpc Run(Foo) returns (stream Bar) {}", Some("Runs."))
    );
}

#[test]
fn terraform_definitions_are_found() {
    let text = include_str!("fixtures/a.tf");
    let made = check(
        "a.tf",
        text,
        &[
            "key aws_s3_bucket.logs",
            "key var.name",
            "key size",
            "key who",
            "key module.vpc",
            "key output.id",
            "key data.aws_ami.x",
            "key provider.aws",
            "key required_version",
            "key region",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "logs"),
        ("resource \"aws_s3_bucket\" \"logs\"", Some("A bucket."))
    );
}

#[test]
fn dockerfile_definitions_are_found() {
    let text = include_str!("fixtures/Dockerfile");
    let made = check(
        "Dockerfile",
        text,
        &["constant VERSION", "module builder", "constant PATH", "constant FOO"],
    );
    assert_eq!(signature_and_doc(&made, "builder"), ("FROM rust:1.89 AS builder", Some("Builds.")));
}

#[test]
fn make_definitions_are_found() {
    let text = include_str!("fixtures/Makefile");
    let made = check(
        "Makefile",
        text,
        &[
            "constant PREFIX",
            "constant CFLAGS",
            "constant X",
            "rule all",
            "rule %.o",
            "rule a b",
            "macro recipe",
            "rule debug",
        ],
    );
    assert_eq!(signature_and_doc(&made, "all"), ("all: build test", Some("Builds all.")));
}

#[test]
fn vue_definitions_are_found() {
    let text = include_str!("fixtures/a.vue");
    let made = check("a.vue", text, &["function go", "constant LIMIT"]);
    assert_eq!(signature_and_doc(&made, "go"), ("function go(n: number): void", Some("Goes.")));
}

#[test]
fn svelte_definitions_are_found() {
    let text = include_str!("fixtures/a.svelte");
    let made = check("a.svelte", text, &["constant name", "function double"]);
    assert_eq!(signature_and_doc(&made, "double"), ("const double = (x)", Some("Doubles.")));
}

#[test]
fn a_component_is_cut_at_its_sections() {
    let text = include_str!("fixtures/a.vue");
    let made = super::chunk(&super::file("a.vue", text), 40);
    let starts = |tag: &str| made.chunks.iter().any(|chunk| chunk.text.starts_with(tag));
    assert!(starts("<script setup") && starts("<style"), "{:?}", made.chunks);
}

#[test]
fn the_cells_of_a_notebook_are_code_and_prose() {
    let text = include_str!("fixtures/a.ipynb");
    let made = check(
        "a.ipynb",
        text,
        &["function area", "class Shape", "method Shape.__init__", "field Shape.size"],
    );
    let (code, comments) = made.chunks[0].code_and_comments();
    assert!(comments.contains("# About shapes") && !code.contains("About shapes"));
    assert!(!made.chunks.iter().any(|chunk| chunk.text.contains("iVBORw0KGgo")));
    let line = text.lines().position(|line| line.contains("def area")).unwrap();
    assert_eq!(made.symbols[0].start_line as usize, line + 1);
    // What is no notebook is data.
    let broken = super::chunk(&super::file("a.ipynb", &text[1..]), 1000);
    assert!(broken.chunks.iter().any(|chunk| chunk.text.contains("iVBORw0KGgo")));
}
