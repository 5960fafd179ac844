//! What a released version cannot take back: public types can grow, or are listed with the reason
//! why they never will.

use crate::Rule;
use crate::source::Source;

/// Types that users may take apart, or build from their fields, as they are for good.
const CLOSED: &[(&str, &str)] = &[
    ("CompareAndSwap", "a comparison holds or does not"),
    ("Sequence", "a number, which users write down"),
    ("TryGet", "it is there, it is not, or nobody can tell without waiting"),
    ("TryWrite", "it is written, or it is not"),
];

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "public enums and structs with public fields are `#[non_exhaustive]`, or in CLOSED",
    check: public_types_can_grow,
    bad: &[
        ("src/a.rs", "pub enum A {\n    B,\n}\n"),
        ("src/a.rs", "#[non_exhaustive]\npub enum A {}\n#[derive(Debug)]\npub enum B {}\n"),
        ("src/a.rs", "pub struct A {\n    b: u8,\n    pub c: u8,\n}\n"),
        ("src/a.rs", "pub struct A(pub u8);\n"),
        ("src/a.rs", "pub struct A(\n    u8,\n    pub u8,\n);\n"),
        ("src/a.rs", "pub struct A<T>\nwhere\n    T: B,\n{\n    pub c: T,\n}\n"),
    ],
    good: &[
        ("src/a.rs", "#[derive(Debug)]\n#[non_exhaustive]\n/// Also here.\npub enum A {}\n"),
        ("src/a.rs", "pub struct A {\n    b: u8,\n    pub(crate) c: u8,\n}\npub fn f() {}\n"),
        ("src/a.rs", "pub struct A(u8);\npub struct B;\npub(crate) enum C {}\n"),
        ("src/a.rs", "pub struct A(\n    u8,\n);\nimpl A {\n    pub fn b() {}\n}\n"),
        ("src/ids.rs", "pub struct Sequence(pub u64);\n"),
        ("tests/a.rs", "pub enum A {}\n"),
    ],
}];

fn public_types_can_grow(source: &Source) -> Vec<(usize, String)> {
    if !source.in_src() {
        return Vec::new();
    }
    let lines: Vec<String> = source.code_lines().map(|(_, code)| code).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let kind = ["pub enum ", "pub struct "].into_iter().find(|kind| line.starts_with(kind));
        let Some(kind) = kind else { continue };
        let name: String =
            line[kind.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // Comments are blank here.
        let mut above = lines[..index].iter().rev().map(|line| line.trim());
        let open = above
            .by_ref()
            .take_while(|line| line.is_empty() || line.starts_with("#["))
            .any(|line| line == "#[non_exhaustive]");
        let closed = CLOSED.iter().any(|(listed, _)| *listed == name);
        let shown = kind == "pub enum " || has_public_field(&lines[index..]);
        if shown && !open && !closed {
            found.push((index + 1, name));
        }
    }
    found
}

/// Whether the struct that begins on the first of these lines has a field that users see.
fn has_public_field(lines: &[String]) -> bool {
    let first = &lines[0];
    if first.ends_with(';') {
        return first.contains("(pub ") || first.contains(", pub ");
    }
    let mut fields = lines[1..].iter().take_while(|line| !line.starts_with(['}', ')']));
    fields.any(|line| line.trim_start().starts_with("pub "))
}
