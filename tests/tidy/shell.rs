//! The shell, `examples/repl`: its rooms have floors, and its table of commands is in the
//! documents.

use std::collections::BTreeMap;

use crate::imports::Graph;
use crate::source::Source;

const BASE: &str = "examples/repl/";

/// The rooms and their floors. A room imports lower ones only; every file but `main.rs` is in one.
const FLOORS: &[(&str, u8)] = &[
    ("text", 0),
    ("files", 0),
    ("rows", 1),
    ("print", 2),
    ("shell", 3),
    ("commands", 4),
    ("typed", 5),
    ("session", 6),
    ("start", 6),
];

/// The rows of the table, and the page that lists them.
const TABLE: &str = "examples/repl/commands/table.rs";
const PAGE: &str = "docs/shell.md";

/// Imports that go up, files without a room, and circles of files.
pub(crate) fn check_rooms(sources: &[Source]) -> Vec<String> {
    let graph = Graph::new(sources, BASE);
    let mut broken = graph.describe_circles();
    for (from, imports) in &graph.arrows {
        let Some(floor) = floor_of(from) else {
            broken.push(format!("{from}: in no room of FLOORS"));
            continue;
        };
        for (to, line) in imports {
            let up = floor_of(to).is_none_or(|below| below >= floor);
            if up && room_of(from) != room_of(to) {
                broken.push(format!("{from}:{line}: imports {to}, which lies no lower"));
            }
        }
    }
    broken
}

fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix(BASE).unwrap_or(path);
    inside.split_once('/').map_or("", |(room, _)| room)
}

fn floor_of(path: &str) -> Option<u8> {
    FLOORS.iter().find(|(room, _)| *room == room_of(path)).map(|(_, floor)| *floor)
}

/// Commands that the page does not list as the table has them, and lines of the page that are of
/// none.
pub(crate) fn check_page(sources: &[Source], page: &str) -> Vec<String> {
    let table = sources.iter().find(|source| source.path == TABLE);
    let commands = table.map_or_else(Vec::new, |table| rows(&table.text));
    if commands.is_empty() {
        return vec![format!("{TABLE}: no rows were found")];
    }
    let listed: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`: ")).collect();
    let name_of = |usage: &str| usage.split(' ').next().unwrap_or_default().to_owned();
    let mut broken = Vec::new();
    for (name, meaning) in &commands {
        let told = listed.iter().find(|(usage, _)| name_of(usage) == *name);
        if told.is_none_or(|(_, told)| told != meaning) {
            broken.push(format!("{PAGE}: no line \"- `{name} …`: {meaning}\""));
        }
    }
    let known = |usage: &str| commands.iter().any(|(name, _)| *name == name_of(usage));
    let unknown = listed.keys().filter(|usage| !known(usage));
    broken.extend(unknown.map(|usage| format!("{PAGE}: there is no command {usage}")));
    broken
}

/// Name and meaning of each row, which stand on a line each.
fn rows(table: &str) -> Vec<(&str, &str)> {
    let rows = table.split("    Spec {\n").skip(1);
    rows.filter_map(|row| Some((quoted(row, "name: ")?, quoted(row, "meaning: ")?))).collect()
}

/// The string behind the first `field` of a row.
fn quoted<'a>(row: &'a str, field: &str) -> Option<&'a str> {
    row.split_once(field)?.1.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(path, text)| Source::new(&format!("{BASE}{path}"), text)).collect()
    }

    #[test]
    fn imports_that_go_up_are_found() {
        #[track_caller]
        fn check(files: &[(&str, &str)], want: usize) {
            let broken = check_rooms(&sources(files));
            assert_eq!(broken.len(), want, "{files:?}: {broken:?}");
        }
        let shell = ("shell/mod.rs", "pub(crate) struct Shell;");
        let get = ("commands/get.rs", "use crate::shell::Shell;\npub(crate) fn get() {}");
        check(&[shell, get], 0);
        check(&[shell, get, ("main.rs", "use crate::commands::get::get;")], 0);
        check(&[("shell/mod.rs", "use crate::commands::get::get;"), get], 3 + 1);
        check(
            &[
                ("shell/mod.rs", "fn f() { super::commands::get::get() }"),
                ("commands/get.rs", "fn get() {}"),
            ],
            1,
        );
        check(&[("text/a.rs", "use crate::files::b::B;"), ("files/b.rs", "struct B;")], 1);
        check(&[("text/a.rs", "use super::b::B;"), ("text/b.rs", "struct B;")], 0);
        check(&[("text/a.rs", "use super::b::B;"), ("text/b.rs", "use super::a::A;")], 3);
        check(&[("lost.rs", "fn f() {}")], 1);
        check(&[("attic/a.rs", "fn f() {}")], 1);
    }

    #[test]
    fn a_command_that_the_page_leaves_out_is_found() {
        let row = |name| {
            format!("    Spec {{\n        name: \"{name}\",\n        meaning: \"do {name}\",\n")
        };
        let table = row("get") + &row("put");
        let sources = sources(&[("commands/table.rs", &table)]);
        let check = |page: &str| check_page(&sources, page).len();
        assert_eq!(check("- `get KEY ..`: do get\n- `put`: do put\n"), 0);
        assert_eq!(check("- `get KEY ..`: do get\n"), 1);
        assert_eq!(check("- `get KEY ..`: do put\n- `put`: do put\n"), 1);
        assert_eq!(check("- `get`: do get\n- `put`: do put\n- `cut`: do cut\n"), 1);
        assert_eq!(check_page(&[], "").len(), 1);
    }
}
