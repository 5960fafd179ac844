//! What a batch of the shell takes, and what it refuses.

use alluvium::Db;

use super::pending::BATCH_BYTES_MAX;
use super::{Batch, Pending, Shell};

/// Symptom: an operation that no longer fits into a batch was answered as if it did, and the batch
/// could never be committed. Mechanism: the engine's batch remembers a refusal until it is written.
/// Fix: the shell looks first.
#[test]
fn what_does_not_fit_is_refused_and_the_rest_is_kept() {
    let mut shell = Shell::new(Db::in_memory().unwrap()).unwrap();
    shell.pending = Some(Pending::Batch(Batch::default()));
    let value = vec![7; BATCH_BYTES_MAX / 4];
    let mut stored = 0;
    while shell.write(&[stored], Some(&value)).is_ok() {
        stored += 1;
    }
    assert_eq!(stored, 3);
    assert_eq!(shell.pending.as_ref().unwrap().len(), 3);
    assert!(shell.write(&[stored], None).is_ok(), "a small one fits still");
    assert_eq!(shell.commit().unwrap().0, 4);
    assert!(shell.db.contains_key([2]).unwrap() && !shell.db.contains_key([3]).unwrap());
}
