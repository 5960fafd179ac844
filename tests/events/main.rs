//! Every event that the source can send is provoked, and its subscriber calls the database back:
//! nothing that it may call hangs, whichever thread the event came from (I35).
//!
//! The subscriber is the process's only one, so this is a test binary of its own, with one test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod provoked;
mod subscriber;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long all of it may take. Nothing is measured by it: it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(100);

/// What nothing here can provoke, and why.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("background threads panicked", "only a fault of the engine panics"),
    ("an open goes on without a helper", "needs a system without threads"),
    ("a database was left without a close", "the same"),
    ("a spare log was left behind", "needs ten seconds without a write"),
];

/// The messages of all events in a folder's sources.
fn messages(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            messages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, macro_name) in text.match_indices("event!(") {
                // The message is the last text of the call.
                let call = &text[at + macro_name.len()..];
                let Some(end) = call.find("\")") else { continue };
                let call = &call[..=end];
                if let Some(message) = call.split('"').nth_back(1) {
                    found.insert(message.to_owned());
                }
            }
        }
    }
}

#[test]
fn a_subscriber_may_call_back_from_every_event() {
    let calls = subscriber::install();
    let (done, ended) = mpsc::channel();
    let run = std::thread::spawn(move || {
        provoked::all(calls);
        done.send(()).unwrap();
    });
    let timed_out = matches!(ended.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Timeout));
    assert!(!timed_out, "{} hangs behind {:?}", calls.scene(), calls.under_way());
    run.join().expect("nothing that was provoked panics");

    let mut sent = BTreeSet::new();
    messages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sent);
    assert!(sent.len() > 12, "the sources were read: {sent:?}");
    let seen = calls.seen();
    let out_of_reach = |message: &String| OUT_OF_REACH.iter().any(|(out, _)| out == message);
    let missed: Vec<_> =
        sent.iter().filter(|message| !seen.contains(*message) && !out_of_reach(message)).collect();
    assert!(missed.is_empty(), "nothing provokes {missed:?}; seen: {seen:?}");
    for span in ["open", "flush", "merge_step", "rebuild_index", "verify", "checkpoint"] {
        assert!(seen.contains(span), "no span {span}");
    }
    assert!(calls.made() > 100, "{} calls back", calls.made());
    assert!(calls.refused() > 20, "{} calls that would have waited", calls.refused());
}
