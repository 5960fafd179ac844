//! How models are run: every one says how many executions it took, and fails if they are fewer than
//! they were once (a model that explores less than it seems to proves less than it says).

use crate::sync::model::explore;

/// `body` must hold in every interleaving, or in every one with at most `preemptions`.
pub(super) fn holds(
    name: &str,
    preemptions: Option<usize>,
    executions_min: usize,
    body: impl Fn() + Send + Sync + 'static,
) {
    let (executions, outcome) = explore(preemptions, body);
    eprintln!("model {name}: {executions} executions");
    if let Err(message) = outcome {
        panic!("{name} does not hold: {message}");
    }
    assert!(executions >= executions_min, "{name}: {executions} of {executions_min} executions");
}

/// `body` has a planted fault: some interleaving must break it, with `symptom` in the message.
pub(super) fn refuted(
    name: &str,
    preemptions: Option<usize>,
    symptom: &str,
    body: impl Fn() + Send + Sync + 'static,
) {
    let (executions, outcome) = explore(preemptions, body);
    let message = outcome.expect_err("the planted fault must be found");
    eprintln!("fault {name}: found in execution {executions}");
    assert!(message.contains(symptom), "{name}: found something else: {message}");
}
