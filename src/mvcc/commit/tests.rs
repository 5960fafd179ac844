//! The commit section with real threads; `models.rs` has the interleavings.

use super::{Broken, Commit, CommitEnv, Earlier};
use std::collections::BTreeSet;

use crate::ids::Sequence;
use crate::sync::{Arc, Mutex, Poisoned, lock};

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Closed,
    Panicked,
    Prepare,
    Append,
}

/// So many operations panic as they are inserted.
const PANICS: u64 = 1_000;

/// How many operations, and at which step they are refused.
#[derive(Clone, Copy)]
struct Write(u64, Option<fn() -> Refused>);

#[derive(Default)]
struct Env {
    appended: Vec<Sequence>,
    found: Found,
}

type Found = Arc<Mutex<BTreeSet<Sequence>>>;

fn commit_after(last: Sequence) -> Commit<Env> {
    let env = Env::default();
    let found = Arc::clone(&env.found);
    Commit::new(env, found, last)
}

fn side_by_side() -> Commit<Env> {
    let env = Env::default();
    let found = Arc::clone(&env.found);
    Commit::side_by_side(env, found, Sequence(0))
}

impl CommitEnv for Env {
    type Write<'a> = Write;
    type Receipt = usize;
    type Place = ();
    type Shared = Found;
    type Error = Refused;

    fn prepare(&mut self, write: &mut Write, _: &Earlier<'_>) -> Result<(), Refused> {
        match write.1.map(|refused| refused()) {
            Some(Refused::Prepare) => Err(Refused::Prepare),
            _ => Ok(()),
        }
    }

    fn append(
        &mut self,
        first: Sequence,
        write: &mut Write,
        _: &Earlier<'_>,
    ) -> Result<usize, Refused> {
        match write.1.map(|refused| refused()) {
            Some(refused) => Err(refused),
            None => {
                self.appended.push(first);
                Ok(self.appended.len())
            }
        }
    }

    fn place(&mut self, _: Sequence, _: &mut Write) {}

    fn insert_inside(&mut self, first: Sequence, write: &mut Write) {
        let found = Arc::clone(&self.found);
        Self::insert(&found, (), first, write);
    }

    fn insert(found: &Found, (): (), first: Sequence, write: &mut Write) {
        assert!(write.0 != PANICS, "asked for");
        lock(found).extend((first.0..first.0 + write.0).map(Sequence));
    }

    fn closed() -> Refused {
        Refused::Closed
    }

    fn panicked(_: &Found) -> Refused {
        Refused::Panicked
    }
}

/// I1.
#[test]
fn sequences_are_consecutive_and_only_a_failed_append_spends_them_for_nothing() {
    let commit = commit_after(Sequence(10));
    let check = |mut write: Write, want, visible, next| {
        let count = write.0;
        let got = commit.commit(&mut write, count).map(|(last, receipt)| (last.0, receipt));
        assert_eq!(got, want);
        assert_eq!(commit.visible(), Sequence(visible));
        assert_eq!(commit.with(|_, next| next), Sequence(next));
    };
    assert_eq!(commit.visible(), Sequence(10));
    check(Write(1, None), Ok((11, 1)), 11, 12);
    check(Write(2, None), Ok((13, 2)), 13, 14);
    check(Write(3, Some(|| Refused::Prepare)), Err(Refused::Prepare), 13, 14);
    check(Write(3, Some(|| Refused::Append)), Err(Refused::Append), 13, 17);
    check(Write(1, None), Ok((17, 3)), 17, 18);
    let found = commit.with(|env, _| lock(&env.found).clone());
    let all = BTreeSet::from([11, 12, 13, 17].map(Sequence));
    assert_eq!(found, all, "what was refused was not inserted");
}

/// I23.
#[test]
fn a_close_happens_once_and_ends_writing_but_not_reading() {
    let commit = commit_after(Sequence(0));
    commit.commit(&mut Write(1, None), 1).expect("open");
    assert!(commit.close(|env| assert_eq!(env.appended.len(), 1)));
    assert!(!commit.close(|_| unreachable!("closed before")));
    assert_eq!(commit.commit(&mut Write(1, None), 1), Err(Refused::Closed));
    assert_eq!(commit.visible(), Sequence(1));
    assert_eq!(commit.with(|_, next| next), Sequence(2), "the section is still usable");
}

/// I2: what a writer had in hand when it panicked never becomes visible, nor anything after it.
#[test]
fn a_panic_inside_ends_writing_but_neither_reading_nor_closing() {
    let commit = commit_after(Sequence(0));
    commit.commit(&mut Write(1, None), 1).expect("open");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| commit.commit(&mut Write(1, Some(|| panic!("planted"))), 1));
        writer.join().expect_err("it panics");
    });
    assert_eq!(commit.commit(&mut Write(1, None), 1), Err(Refused::Panicked));
    assert_eq!(commit.enter(|_, _| ()), Err(Poisoned));
    assert_eq!(commit.try_enter(|_, _| ()), None);
    assert_eq!(commit.visible(), Sequence(1));
    assert!(commit.close(|env| assert_eq!(env.appended.len(), 1)));
    assert!(!commit.close(|_| unreachable!("closed before")));
}

#[test]
#[should_panic(expected = "at least one sequence")]
fn a_write_of_nothing_is_a_bug() {
    let _ = commit_after(Sequence(0)).commit(&mut Write(0, None), 0);
}

/// A writer that dies in its insert ends writing; nobody waits for it, and readers go on.
#[test]
fn an_insert_that_panics_ends_writing() {
    let commit = side_by_side();
    commit.commit(&mut Write(1, None), 1).expect("open");
    let dies = std::panic::AssertUnwindSafe(|| commit.commit(&mut Write(PANICS, None), 1));
    assert!(std::panic::catch_unwind(dies).is_err());
    for _ in 0..2 {
        assert_eq!(commit.commit(&mut Write(1, None), 1), Err(Refused::Panicked));
        assert_eq!(commit.visible(), Sequence(1));
    }
    assert_eq!(commit.with_earlier(|_, earlier| earlier.wait()), Ok(Err(Broken)));
    assert!(commit.close(|_| ()), "a close does not wait for it either");
}

/// More writers than may insert at a time, which all have to wait.
#[test]
fn as_many_writers_as_there_are_slots_insert_side_by_side() {
    const WRITERS: u64 = 100;
    let commit = side_by_side();
    let held = lock(&commit.shared);
    std::thread::scope(|scope| {
        let writers = [(); WRITERS as usize]
            .map(|()| scope.spawn(|| commit.commit(&mut Write(1, None), 1).expect("open")));
        // One that finds no slot, in the section.
        while commit.order.sleeps() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(commit.visible(), Sequence(0), "the first has not inserted");
        drop(held);
        let mut lasts = writers.map(|writer| writer.join().expect("no writer panics").0.0);
        lasts.sort_unstable();
        assert_eq!(lasts.to_vec(), (1..=WRITERS).collect::<Vec<_>>());
    });
    assert_eq!(commit.visible(), Sequence(WRITERS));
}

/// I2.
#[test]
fn readers_find_everything_that_is_visible() {
    const WRITES_PER_THREAD: u64 = 500;
    let commit = commit_after(Sequence(0));
    let found = &commit.shared;
    std::thread::scope(|scope| {
        for count in 1..=3_u64 {
            let commit = &commit;
            scope.spawn(move || {
                for _ in 0..WRITES_PER_THREAD {
                    let (last, _) = commit.commit(&mut Write(count, None), count).expect("open");
                    assert!(commit.visible() >= last, "the own write is visible");
                }
            });
        }
        scope.spawn(|| {
            let all = Sequence(WRITES_PER_THREAD * 6);
            let mut seen = Sequence(0);
            while seen < all {
                let visible = commit.visible();
                assert!(visible >= seen, "visible goes back");
                seen = visible;
                let found = lock(found);
                let up_to = found.range(..=visible).count() as u64;
                assert_eq!(up_to, visible.0, "visible names what is not found");
            }
        });
    });
    assert_eq!(commit.visible(), Sequence(WRITES_PER_THREAD * 6));
}
