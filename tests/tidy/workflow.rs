//! The workflow and `.ci/run` are of one mind: each step of the one is a group of the other, and
//! each group is a step.

/// The steps that are no group, and the groups that are no step.
pub(crate) fn check(script: &str, workflow: &str) -> Vec<String> {
    let list = script.lines().find_map(|line| line.strip_prefix("groups=("));
    let groups: Vec<&str> = list.unwrap_or_default().trim_end_matches(')').split(' ').collect();
    let steps = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: .ci/run"));
    let steps: Vec<&str> = steps.flat_map(str::split_whitespace).collect();
    let unknown = steps.iter().filter(|step| !groups.contains(step));
    let missing = groups.iter().filter(|group| !steps.contains(group));
    let mut broken: Vec<_> = unknown.map(|step| format!("no group for the step {step}")).collect();
    broken.extend(missing.map(|group| format!("no step for the group {group}")));
    broken
}

#[test]
fn steps_without_a_group_and_groups_without_a_step_are_found() {
    let script = "set -e\ngroups=(tests lints)\n";
    assert_eq!(check(script, "  - run: .ci/run tests\n  - run: .ci/run lints\n"), [""; 0]);
    assert_eq!(check(script, "  - run: .ci/run tests lints\n  - run: rustup\n"), [""; 0]);
    assert_eq!(check(script, "  - run: .ci/run tests\n").len(), 1);
    assert_eq!(check(script, "  - run: .ci/run tests lints docs\n").len(), 1);
    assert!(!check("", "").is_empty());
}
