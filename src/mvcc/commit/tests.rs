//! The commit section with real threads; `models.rs` has the interleavings.

use super::{Commit, CommitEnv};
use crate::ids::Sequence;
use crate::sync::{Arc, Mutex, lock};

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Closed,
    Prepare,
    Append,
}

/// How many operations, and at which step they are refused.
#[derive(Clone, Copy)]
struct Write(u64, Option<fn() -> Refused>);

#[derive(Default)]
struct Env {
    appended: Vec<Sequence>,
    found: Arc<Mutex<Vec<Sequence>>>,
}

impl CommitEnv for Env {
    type Write<'a> = Write;
    type Receipt = usize;
    type Error = Refused;

    fn prepare(&mut self, write: &mut Write) -> Result<(), Refused> {
        match write.1.map(|refused| refused()) {
            Some(Refused::Prepare) => Err(Refused::Prepare),
            _ => Ok(()),
        }
    }

    fn append(&mut self, first: Sequence, write: &mut Write) -> Result<usize, Refused> {
        match write.1.map(|refused| refused()) {
            Some(refused) => Err(refused),
            None => {
                self.appended.push(first);
                Ok(self.appended.len())
            }
        }
    }

    fn insert(&mut self, first: Sequence, write: &mut Write) {
        lock(&self.found).extend((first.0..first.0 + write.0).map(Sequence));
    }

    fn closed() -> Refused {
        Refused::Closed
    }
}

/// I1.
#[test]
fn sequences_are_consecutive_and_only_a_failed_append_spends_them_for_nothing() {
    let commit = Commit::new(Env::default(), Sequence(10));
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
    assert_eq!(found, [11, 12, 13, 17].map(Sequence), "what was refused was not inserted");
}

/// I23.
#[test]
fn a_close_happens_once_and_ends_writing_but_not_reading() {
    let commit = Commit::new(Env::default(), Sequence(0));
    commit.commit(&mut Write(1, None), 1).expect("open");
    assert!(commit.close(|env| assert_eq!(env.appended.len(), 1)));
    assert!(!commit.close(|_| unreachable!("closed before")));
    assert_eq!(commit.commit(&mut Write(1, None), 1), Err(Refused::Closed));
    assert_eq!(commit.visible(), Sequence(1));
    assert_eq!(commit.with(|_, next| next), Sequence(2), "the section is still usable");
}

#[test]
#[should_panic(expected = "at least one sequence")]
fn a_write_of_nothing_is_a_bug() {
    let _ = Commit::new(Env::default(), Sequence(0)).commit(&mut Write(0, None), 0);
}

/// I2.
#[test]
fn readers_find_everything_that_is_visible() {
    const WRITES_PER_THREAD: u64 = 500;
    let env = Env::default();
    let found = Arc::clone(&env.found);
    let commit = Commit::new(env, Sequence(0));
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
                let found = lock(&found);
                assert!(found.len() as u64 >= visible.0, "visible names what is not found");
                assert!(found.is_sorted(), "the insert order is the commit order");
            }
        });
    });
    assert_eq!(commit.visible(), Sequence(WRITES_PER_THREAD * 6));
}
