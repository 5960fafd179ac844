//! All models: what each proves, how far it is explored, and how they are run.
//!
//! A model is a function of a fault. Without one it is the shipped code, and has to hold in every
//! interleaving that its bound allows; with each of its faults some interleaving has to break it.
//! Faults are built for models only. Each row of the table prints a line, each fault another, and
//! the last to end prints the sum; a model or a fault that is not as the table says fails its test.

use std::fmt::Debug;

use crate::sync::models::{Tally, explore};

/// How many involuntary switches of threads an execution may have.
type Bound = Option<usize>;

/// Any number.
const ALL: Bound = None;

/// Name, bound, and how many executions there are at least: a model that explores less than it
/// seems to proves less than it says.
const MODELS: &[(&str, Bound, usize)] = &[
    ("visible", Some(3), 1_700),
    ("failed append", Some(3), 1_400),
    ("close", Some(3), 400),
    ("drop keyspace", Some(3), 35_000),
    ("conditional", Some(2), 8_000),
    ("conditional, early end", Some(3), 500),
    ("held key", Some(2), 2_300),
    ("transaction", Some(2), 4_500),
    ("order", Some(3), 500),
    ("order, slots again", Some(2), 500),
    ("order, the end", ALL, 5),
    ("read point", Some(3), 10_000),
    ("rotation", Some(3), 1_000),
    ("sealing", Some(3), 500),
    ("read and flush", Some(3), 9_000),
    ("update", ALL, 20_000),
    ("installs", Some(3), 75_000),
    ("snapshot", Some(3), 30_000),
    ("group sync", Some(4), 10_000),
    ("failed sync", Some(3), 2_200),
    ("wake-up", Some(4), 10_000),
    ("latch from elsewhere", Some(3), 700),
    ("waiting list", Some(2), 1_000),
    ("waiting list, end", Some(3), 3_000),
    ("gate", Some(4), 25_000),
    ("retire", Some(3), 1_500),
    ("files", ALL, 1_000),
    ("close, threads", Some(2), 7_000),
    ("close, asleep", Some(3), 100),
    ("close, asked", Some(3), 15_000),
    ("seal", ALL, 270),
    ("live logs", Some(3), 8_500),
    ("sealed logs", ALL, 9_000),
    ("log goes", Some(3), 1_500),
    ("recovered log goes", ALL, 160),
    ("drop and merge", Some(3), 1_700),
    ("forget keyspace", Some(2), 26_000),
    ("forget keyspace, look", Some(3), 160_000),
    ("residence", ALL, 50),
    ("slot", Some(3), 100),
    ("stretches", Some(3), 16_000),
    ("stretches, since", Some(3), 4_000),
    ("stretches, cut", Some(3), 16_000),
    ("stretches, rotation", Some(3), 10_000),
    ("stretches, put under", ALL, 12_000),
];

/// What a full run has done so far.
struct Done {
    models: Vec<&'static str>,
    executions: usize,
    found: usize,
    planted: usize,
}

static DONE: Tally<Done> =
    Tally::new(Done { models: Vec::new(), executions: 0, found: 0, planted: 0 });

/// The default fault is none: then `body` must hold. With each of `faults`, of which there are two
/// at least, it must break, with the text beside it in the message.
pub(super) fn check<F>(
    name: &str,
    body: impl Fn(F) + Copy + Send + Sync + 'static,
    faults: &[(F, &str)],
) where
    F: Copy + Debug + Default + Send + Sync + 'static,
{
    let row = MODELS.iter().find(|row| row.0 == name);
    let &(name, bound, executions_min) = row.expect("each model has its row in the table");
    let (executions, outcome) = explore(bound, move || body(F::default()));
    if let Err(message) = outcome {
        panic!("{name} does not hold: {message}");
    }
    let within = match bound {
        Some(most) => format!("all with at most {most} preemptions"),
        None => "all there are".to_owned(),
    };
    eprintln!("model {name}: {executions} executions, {within}");
    assert!(executions >= executions_min, "{name}: {executions} of {executions_min} executions");
    let found: usize = faults.iter().map(|fault| find(name, bound, body, fault)).sum();
    assert!(faults.len() >= 2, "{name} has two planted faults at least");
    DONE.with(|done| {
        assert!(!done.models.contains(&name), "{name} was run before");
        done.models.push(name);
        done.executions += executions;
        done.found += found;
        done.planted += faults.len();
        let Done { models, executions, found, planted } = done;
        if models.len() == MODELS.len() {
            let models = models.len();
            let found = format!("{found} of {planted} planted faults found");
            eprintln!("{models} models, {executions} executions, {found}");
        }
    });
}

/// Looks for a fault with few preemptions first: then there is less to explore. The model's own
/// bound is the last.
fn find<F: Copy + Debug + Send + Sync + 'static>(
    name: &str,
    bound: Bound,
    body: impl Fn(F) + Copy + Send + Sync + 'static,
    &(fault, symptom): &(F, &str),
) -> usize {
    let bounds = (0..bound.unwrap_or(4)).map(Some).chain([bound]);
    for preemptions in bounds {
        let (executions, outcome) = explore(preemptions, move || body(fault));
        let Err(message) = outcome else { continue };
        let within = preemptions.map_or("any number of".to_owned(), |most| most.to_string());
        assert!(message.contains(symptom), "{name}, {fault:?}: found something else: {message}");
        eprintln!("fault {name}, {fault:?}: execution {executions} with {within} preemptions");
        return 1;
    }
    panic!("{name} does not find the planted fault {fault:?}");
}
