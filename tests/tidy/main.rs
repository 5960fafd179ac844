//! The house rules, held by a test: which module may know which, what is named only where, how long
//! a file may be. Standard library only, and text only: the rules must run when nothing compiles.
//!
//! Each rule carries snippets that it must reject and snippets that it must let pass, since a check
//! that cannot fail is a defect. DESIGN.md has the reasons, in the chapters on floors and absences.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod documents;
mod floors;
mod get_path;
mod habits;
mod imports;
mod invariants;
mod names;
mod public;
mod rules;
mod shell;
mod source;
mod workflow;

use std::path::Path;

use source::Source;

/// One rule and the proof that it works.
pub(crate) struct Rule {
    /// What it asks for, as the failure report says it.
    pub(crate) name: &'static str,
    /// What is wrong in a file: lines, and words about them.
    pub(crate) check: fn(&Source) -> Vec<(usize, String)>,
    /// Path and text of files that break it.
    pub(crate) bad: &'static [(&'static str, &'static str)],
    /// Path and text of files that come close and keep it.
    pub(crate) good: &'static [(&'static str, &'static str)],
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    ["src", "tests", "examples", "benches"]
        .into_iter()
        .flat_map(|directory| Source::read_all(root(), directory))
        .collect()
}

fn all_rules() -> impl Iterator<Item = &'static Rule> {
    let rules = floors::RULES.iter().chain(rules::RULES);
    rules.chain(habits::RULES).chain(public::RULES).chain(get_path::RULES)
}

#[test]
fn every_file_keeps_every_rule() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the tree was not found");
    let mut broken = Vec::new();
    for rule in all_rules() {
        for source in &sources {
            for (line, what) in (rule.check)(source) {
                broken.push(format!("{}:{line}: {} ({what})", source.path, rule.name));
            }
        }
    }
    assert!(broken.is_empty(), "{} rules broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_rejects_its_bad_snippets_and_passes_its_good_ones() {
    for rule in all_rules() {
        assert!(!rule.bad.is_empty(), "{}: nothing shows that it can fail", rule.name);
        for (path, text) in rule.bad {
            let found = (rule.check)(&Source::new(path, text));
            assert!(!found.is_empty(), "{}: passed {path}: {text}", rule.name);
        }
        for (path, text) in rule.good {
            let found = (rule.check)(&Source::new(path, text));
            assert!(found.is_empty(), "{}: rejected {path}: {text}: {found:?}", rule.name);
        }
    }
}

#[test]
fn files_on_the_way_of_a_get_are_there() {
    let broken = get_path::check_list(&sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let broken = imports::check(&sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rooms_of_the_engine_and_files_of_the_face_import_lower_ones() {
    let broken = floors::check_rooms(&sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_two_types_have_one_name() {
    let broken = names::check(&sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn invariants_cited_exist_and_each_one_has_a_test() {
    let design = std::fs::read_to_string(root().join("DESIGN.md")).unwrap_or_default();
    let broken = invariants::check(&design, &sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rooms_of_the_shell_import_lower_ones_and_its_page_lists_its_commands() {
    let sources = sources();
    let page = std::fs::read_to_string(root().join("docs/shell.md")).unwrap_or_default();
    let mut broken = shell::check_rooms(&sources);
    broken.extend(shell::check_page(&sources, &page));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_step_of_the_workflow_is_a_group_of_the_script() {
    let read = |path| std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let broken = workflow::check(&read(".ci/run"), &read(".github/workflows/ci.yml"));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn documents_are_short_and_what_they_name_exists() {
    let documents = documents::Documents::read(root());
    let broken = documents.check(&sources());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
