//! The floors: a module imports lower ones only, so that each can be read, tested and changed
//! knowing only what lies below it.

use std::collections::BTreeMap;

use crate::imports::Graph;
use crate::source::Source;
use crate::{Rule, root};

/// Top-level modules and their floors. A file `src/x.rs` that is not here is on the top floor, the
/// public face; a folder must be here. `lib.rs` is exempt.
const FLOORS: &[(&str, u8)] = &[
    ("error", 0),
    ("event", 0),
    ("ids", 0),
    ("mapped", 0),
    ("prefetch", 0),
    ("sync", 0),
    ("value", 0),
    ("format", 1),
    ("io", 1),
    ("mvcc", 1),
    ("options", 1),
    ("log", 2),
    ("witness", 2),
    ("iter", 2),
    ("memtable", 3),
    ("segment", 3),
    ("runs", 4),
    ("compaction", 5),
    ("engine", 6),
];

const FLOOR_TOP: u8 = 7;

/// The rooms of `engine`, files and folders. A room imports lower ones only. `mod.rs`, the door,
/// hands on what others need, and has this table in its head.
const ENGINE: &[(&str, u8)] = &[
    ("agenda", 0),
    ("directory", 0),
    ("shared", 1),
    ("commit", 2),
    ("outputs", 2),
    ("manifest", 3),
    ("whole", 3),
    ("read", 4),
    ("merge", 5),
    ("write", 5),
    ("keyspaces", 6),
    ("report", 6),
    ("cleanup", 7),
    ("index", 8),
    ("flush", 9),
    ("copy", 10),
    ("threads", 10),
    ("open", 11),
];

const ENGINE_DOOR: &str = "src/engine/mod.rs";

/// The files of the public face. One imports lower ones only.
const FACE: &[(&str, u8)] = &[
    ("answers", 0),
    ("compact", 0),
    ("durable", 0),
    ("overlay", 0),
    ("shared", 0),
    ("range", 1),
    ("reader", 2),
    ("keyspace", 3),
    ("transaction_state", 3),
    ("batch", 4),
    ("transaction_range", 4),
    ("snapshot", 5),
    ("transaction_keyspace", 5),
    ("transaction", 6),
    ("db", 7),
    ("backups", 8),
    ("builder", 8),
    ("maintenance", 8),
    ("transaction_tests", 9),
    ("unwind", 9),
];

/// Imports within one floor, each with its reason.
const WITHIN_FLOOR: &[(&str, &str, &str)] = &[
    ("error", "sync", "errors are cheap to clone, so they hold their cause in an Arc"),
    ("event", "sync", "no event is sent under a lock, and a debug build sees to it"),
    ("format", "options", "the options of a keyspace are stored with it"),
    ("value", "sync", "values share what they were read from through an Arc"),
];

/// Modules that only some others may import, floors apart.
const IMPORTED_BY: &[(&str, &[&str])] = &[("compaction", &["engine"])];

/// Modules that import nothing but these, floors apart.
const IMPORTS_ONLY: &[(&str, &[&str])] = &[("mvcc", &["sync", "ids"])];

/// Imports that do not go down inside `engine` and inside the public face, and whether the head of
/// `engine` says what the table does.
pub(crate) fn check_rooms(sources: &[Source]) -> Vec<String> {
    let graph = Graph::new(sources, "src/");
    let mut broken = imports_between(&graph, ENGINE, engine_room);
    broken.extend(imports_between(&graph, FACE, face_room));
    let door = sources.iter().find(|source| source.path == ENGINE_DOOR);
    if door.is_none_or(|door| rows(&door.text) != sorted(ENGINE)) {
        broken.push(format!("{ENGINE_DOOR}: its head has another table than ENGINE"));
    }
    broken
}

/// The room of `engine` that a file is in; `None` for the door and outside.
fn engine_room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/engine/").filter(|_| path != ENGINE_DOOR)?;
    let room = inside.split('/').next()?;
    Some(room.strip_suffix(".rs").unwrap_or(room))
}

/// The file of the public face that this is.
fn face_room(path: &str) -> Option<&str> {
    let in_folder = path.matches('/').count() > 1;
    module_of(path).filter(|module| !in_folder && floor_of(module) == FLOOR_TOP)
}

fn imports_between(
    graph: &Graph,
    floors: &[(&str, u8)],
    room_of: fn(&str) -> Option<&str>,
) -> Vec<String> {
    let floor_of = |room| floors.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor);
    let mut broken = Vec::new();
    for (from, imports) in &graph.arrows {
        let Some(room) = room_of(from) else { continue };
        let Some(floor) = floor_of(room) else {
            broken.push(format!("{from}: {room} has no floor"));
            continue;
        };
        for (to, line) in imports {
            let Some(other) = room_of(to).filter(|other| *other != room) else { continue };
            if floor_of(other).is_none_or(|below| below >= floor) {
                broken.push(format!("{from}:{line}: {room} imports {other}, which lies no lower"));
            }
        }
    }
    broken
}

/// The rooms that a table in a file's head has: rows of a floor, and names in backticks.
fn rows(text: &str) -> Vec<(u8, &str)> {
    let mut found = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split(" | ");
        let floor = cells.next().and_then(|cell| cell.parse().ok());
        let (Some(floor), Some(names)) = (floor, cells.next()) else { continue };
        found.extend(names.split('`').skip(1).step_by(2).map(|name| (floor, name)));
    }
    found.sort_unstable();
    found
}

fn sorted<'a>(floors: &[(&'a str, u8)]) -> Vec<(u8, &'a str)> {
    let mut found: Vec<_> = floors.iter().map(|&(name, floor)| (floor, name)).collect();
    found.sort_unstable();
    found
}

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a module imports lower floors only",
        check: imports_go_down,
        bad: &[
            ("src/format/a.rs", "use crate::engine::Core;"),
            ("src/iter/a.rs", "use crate::{error::Error, log::{Writer}};"),
            ("src/memtable/a.rs", "fn f() { crate::segment::open() }"),
            ("src/error.rs", "use crate::ids::Sequence;"),
            ("src/mvcc/a.rs", "use crate::error::Error;"),
            ("src/mvcc/a.rs", "fn f() -> crate::Result<()> {}"),
            ("src/db.rs", "use crate::compaction::survive::Survival;"),
            ("src/engine/a.rs", "use crate::db::Db;"),
            ("src/ids.rs", "#[cfg(test)]\nmod tests { use crate::sync::Arc; }"),
        ],
        good: &[
            ("src/format/a.rs", "use crate::format::key::Entry; use crate::Error;"),
            ("src/iter/a.rs", "// crate::engine\nconst A: &str = \"crate::engine\";"),
            ("src/value.rs", "use crate::sync::Arc;"),
            ("src/engine/a.rs", "use crate::{compaction::survive, runs, sync::Arc};"),
            ("src/db.rs", "use crate::snapshot::Snapshot; use crate::engine::Core;"),
            ("src/lib.rs", "pub use crate::db::Db;"),
            ("tests/a.rs", "use crate::helper;"),
        ],
    },
    Rule {
        name: "a folder of src has a floor",
        check: folders_have_floors,
        bad: &[("src/helpers/mod.rs", "")],
        good: &[("src/engine/mod.rs", ""), ("src/db.rs", ""), ("tests/a/b.rs", "")],
    },
    Rule {
        name: "what lies outside the module is named from `crate::`, where the floors are checked",
        check: super_stays_inside,
        bad: &[
            ("src/db.rs", "use super::engine::Core;"),
            ("src/iter/mod.rs", "use super::log;"),
            ("src/iter/a.rs", "use super::super::log;"),
            ("src/iter/a.rs", "#[cfg(test)]\nmod tests {\n use super::super::super::log;\n}"),
        ],
        good: &[
            ("src/iter/a.rs", "use super::Cursor;"),
            ("src/iter/a/tests.rs", "use super::super::Cursor;"),
            ("src/db.rs", "pub(super) fn f() {}\n#[cfg(test)]\nmod tests {\n use super::*;\n}"),
        ],
    },
];

/// The top-level module that a file belongs to; `None` for the crate root and outside `src`.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split('/').next()?;
    let module = module.strip_suffix(".rs").unwrap_or(module);
    (module != "lib").then_some(module)
}

fn floor_of(module: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == module).map_or(FLOOR_TOP, |(_, floor)| *floor)
}

fn may_import(from: &str, to: &str) -> bool {
    let listed = |list: &[(&str, &[&str])], key: &str, other: &str| {
        list.iter().find(|(name, _)| *name == key).is_none_or(|(_, names)| names.contains(&other))
    };
    let floor_from = floor_of(from);
    let floor_to = floor_of(to);
    from == to
        || WITHIN_FLOOR.iter().any(|&(a, b, _)| (a, b) == (from, to))
        || (floor_to < floor_from || (floor_from, floor_to) == (FLOOR_TOP, FLOOR_TOP))
            && listed(IMPORTED_BY, to, from)
            && listed(IMPORTS_ONLY, from, to)
}

fn imports_go_down(source: &Source) -> Vec<(usize, String)> {
    let Some(from) = module_of(&source.path) else { return Vec::new() };
    let reexports = reexports();
    let mut found = Vec::new();
    for (line, name) in source.paths_under("crate") {
        let to = reexports.get(&name).unwrap_or(&name);
        if !may_import(from, to) {
            found.push((line, format!("{from} imports {to}")));
        }
    }
    found
}

/// What the crate root hands on, `Error` for `crate::Error`, and the module that each comes from.
fn reexports() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("the crate has a root");
    let lib = Source::new("src/lib.rs", &text);
    let code: String = lib.code.iter().collect();
    let mut found = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let mut words = path.split(|c: char| !c.is_alphanumeric() && c != '_');
        let module = words.find(|word| !word.is_empty() && *word != "crate").unwrap_or_default();
        for name in words.filter(|word| word.starts_with(char::is_uppercase)) {
            found.insert(name.to_owned(), module.to_owned());
        }
    }
    found
}

fn folders_have_floors(source: &Source) -> Vec<(usize, String)> {
    let in_folder = source.path.matches('/').count() > 1;
    match module_of(&source.path) {
        Some(module) if in_folder && floor_of(module) == FLOOR_TOP => {
            vec![(1, format!("{module} is not in FLOORS"))]
        }
        _ => Vec::new(),
    }
}

fn super_stays_inside(source: &Source) -> Vec<(usize, String)> {
    if module_of(&source.path).is_none() {
        return Vec::new();
    }
    let folders = source.path.matches('/').count() - 1;
    let depth = if source.path.ends_with("/mod.rs") { folders } else { folders + 1 };
    let whole_file_is_test = source.test.iter().all(|&test| test);
    let mut found = Vec::new();
    for at in source.find_word("super") {
        let code: String = source.code[at..].iter().take(200).collect();
        let supers = code.split("::").take_while(|part| part.trim() == "super").count();
        let line = source.line_of(at);
        let nested = usize::from(source.is_test(line) && !whole_file_is_test);
        if supers >= depth + nested && code.starts_with("super::") {
            found.push((line, format!("{supers} supers, {} deep", depth + nested)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_that_do_not_go_down_are_found() {
        #[track_caller]
        fn check(files: &[(&str, &str)], want: usize) {
            let sources: Vec<_> =
                files.iter().map(|(path, text)| Source::new(path, text)).collect();
            let broken = check_rooms(&sources);
            // Without a door there is no table in its head.
            assert_eq!(broken.len(), want + 1, "{files:?}: {broken:?}");
        }
        let put = ("src/engine/write/put.rs", "use crate::engine::shared::core::Core;");
        let core = ("src/engine/shared/core.rs", "pub struct Core;");
        check(&[put, core], 0);
        check(&[("src/engine/write/put.rs", "use crate::engine::write::hold::A;"), core], 0);
        let up = ("src/engine/shared/core.rs", "use crate::engine::write::put::Put;");
        check(&[("src/engine/write/put.rs", "pub struct Put;"), up], 1);
        // By way of the door, and on the same floor.
        let door = ("src/engine/mod.rs", "pub use self::merge::step::Step;");
        let step = ("src/engine/merge/step.rs", "pub struct Step;");
        check(&[door, step, ("src/engine/write/put.rs", "use crate::engine::Step;")], 1);
        check(&[door, step, ("src/engine/open/mod.rs", "use crate::engine::Step;")], 0);
        let tests = "#[cfg(test)]\nmod tests {\n use crate::engine::merge::step::Step;\n}";
        check(&[step, ("src/engine/write/put.rs", &format!("fn f() {{}}\n{tests}"))], 0);
        check(&[("src/engine/attic/a.rs", "fn f() {}")], 1);
        check(&[("src/engine/attic.rs", "fn f() {}")], 1);
        // The public face.
        let db = ("src/db.rs", "use crate::batch::WriteBatch;\npub struct Db;");
        let batch = ("src/batch.rs", "pub struct WriteBatch;");
        check(&[db, batch], 0);
        check(&[db, ("src/batch.rs", "fn f() -> crate::db::Db {}")], 1);
        check(&[("src/attic.rs", "fn f() {}"), ("src/error.rs", "fn f() {}")], 1);
    }

    #[test]
    fn the_head_of_the_engine_has_the_table() {
        let head =
            "//! | floor | rooms |\n//! |---|---|\n//! | 1 | `b`, `c` | what |\n//! | 0 | `a` |";
        assert_eq!(rows(head), sorted(&[("b", 1), ("a", 0), ("c", 1)]));
        assert_eq!(rows("//! Words."), []);
        let door = Source::new(ENGINE_DOOR, head);
        assert_eq!(check_rooms(&[door]).len(), 1);
    }
}
