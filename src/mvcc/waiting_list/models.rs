//! Models of the list beside the group sync (I44): who is told "durable" is durable, everybody is
//! told, and nobody twice, with a sync that is under way and with a teller that ends.

use super::{Joined, WaitingList};
use crate::ids::LogPosition;
use crate::mvcc::group_sync::{GroupSync, SyncEnv};
use crate::mvcc::models::check;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::sync::models::thread;
use crate::sync::{Condvar, Mutex, lock, wait};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// That a turn was asked for is forgotten at its end, with what was asked meanwhile.
    ForgetsLate,
    /// A turn takes everybody off the list who is there at its end.
    TellsAll,
    /// A turn takes them off before the sync, and syncs what was appended when it began.
    SyncsLess,
    /// Whether the teller has ended is looked at before the lock is taken to get on the list.
    LooksFirst,
    /// The end takes all off the list, and says that it is over then.
    EndsLate,
    /// The end leaves those on the list whom it tells.
    LeavesThem,
}

enum Job {
    Turn,
    Stop,
}

struct World {
    fault: Fault,
    list: WaitingList<usize>,
    group: GroupSync<()>,
    appended: AtomicU64,
    durable: AtomicU64,
    /// How often each was told.
    told: Mutex<[usize; 2]>,
    changed: Condvar,
}

impl SyncEnv for World {
    type Error = ();

    fn sync(&self) -> Result<LogPosition, ()> {
        let appended = self.appended.load(Ordering::Acquire);
        self.durable.fetch_max(appended, Ordering::Relaxed);
        Ok(LogPosition(appended))
    }

    fn panicked() {}
}

impl World {
    /// Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    fn new(fault: Fault) -> &'static Self {
        Box::leak(Box::new(Self {
            fault,
            list: WaitingList::new(),
            group: GroupSync::new(LogPosition(0)),
            appended: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            told: Mutex::new([0; 2]),
            changed: Condvar::new(),
        }))
    }

    /// Appends a byte, and asks to be told.
    fn append_and_join(&self, who: usize, jobs: &Sender<Job>) {
        let position = LogPosition(self.appended.fetch_add(1, Ordering::AcqRel) + 1);
        if self.fault == Fault::LooksFirst {
            let over = lock(&self.list.state).over;
            if !over {
                lock(&self.list.state).waiting.push((position, who));
                let _ = jobs.send(Job::Turn);
            } else {
                self.tell_rest(vec![(position, who)]);
            }
            return;
        }
        match self.list.join(position, who) {
            Joined::Waits => {}
            // Fails only after the teller has ended, which finds it on the list.
            Joined::Ask => {
                let _ = jobs.send(Job::Turn);
            }
            Joined::Over(who) => self.tell_rest(vec![(position, who)]),
        }
    }

    /// One turn, as the engine takes it.
    fn turn(&self) {
        let begun = match self.fault {
            Fault::ForgetsLate => {
                let state = lock(&self.list.state);
                state.waiting.iter().map(|(position, _)| *position).max()
            }
            _ => self.list.begin_turn(),
        };
        let Some(position) = begun else { return };
        let early = match self.fault {
            Fault::SyncsLess => self.list.take_covered(LogPosition(u64::MAX), usize::MAX),
            _ => Vec::new(),
        };
        self.group.wait(position, self).expect("no sync fails here");
        let covered = match self.fault {
            Fault::TellsAll => LogPosition(u64::MAX),
            _ => self.group.synced(),
        };
        let told = self.list.take_covered(covered, usize::MAX);
        if self.fault == Fault::ForgetsLate {
            lock(&self.list.state).asked = false;
        }
        for (position, who) in early.into_iter().chain(told) {
            let durable = self.durable.load(Ordering::Relaxed);
            assert!(durable >= position.0, "told, and not durable");
            self.tell(who);
        }
    }

    fn end(&self) {
        let left = match self.fault {
            Fault::EndsLate => {
                let left = std::mem::take(&mut lock(&self.list.state).waiting);
                lock(&self.list.state).over = true;
                left
            }
            Fault::LeavesThem => {
                let state = lock(&self.list.state);
                state.waiting.clone()
            }
            _ => self.list.end(),
        };
        self.tell_rest(left);
    }

    /// What is not known to be durable is an error by now, but an answer.
    fn tell_rest(&self, left: Vec<(LogPosition, usize)>) {
        left.into_iter().for_each(|(_, who)| self.tell(who));
    }

    fn tell(&self, who: usize) {
        lock(&self.told)[who] += 1;
        self.changed.notify_all();
    }

    /// The teller's loop.
    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(Job::Turn) = jobs.recv() {
            self.turn();
        }
        self.end();
    }
}

/// Two who join, one of whom syncs, too, and a teller. Both wait until they were told.
fn all_are_told(fault: Fault) {
    let world = World::new(fault);
    let (jobs, asked) = unbounded();
    let teller = thread::spawn(move || world.run(&asked));
    let second = jobs.clone();
    let other = thread::spawn(move || world.append_and_join(1, &second));
    world.append_and_join(0, &jobs);
    world.group.wait(LogPosition(1), world).expect("no sync fails here");
    other.join().expect("no thread panics");
    let mut told = lock(&world.told);
    while told.contains(&0) {
        told = wait(&world.changed, told);
    }
    drop(told);
    let _ = jobs.send(Job::Stop);
    teller.join().expect("the teller does not panic");
    assert_eq!(*lock(&world.told), [1, 1]);
}

/// I44.
#[test]
fn who_joins_while_a_sync_ends_is_told_and_not_too_early() {
    let faults = [
        (Fault::ForgetsLate, "deadlock"),
        (Fault::TellsAll, "told, and not durable"),
        (Fault::SyncsLess, "told, and not durable"),
    ];
    check("waiting list", all_are_told, &faults);
}

/// Two who join while the teller is told to stop.
fn the_end_tells_all(fault: Fault) {
    let world = World::new(fault);
    let (jobs, asked) = unbounded();
    let teller = thread::spawn(move || world.run(&asked));
    let second = jobs.clone();
    let other = thread::spawn(move || world.append_and_join(1, &second));
    world.append_and_join(0, &jobs);
    let _ = jobs.send(Job::Stop);
    other.join().expect("no thread panics");
    teller.join().expect("the teller does not panic");
    // As a second end would.
    if fault == Fault::LeavesThem {
        world.tell_rest(world.list.end());
    }
    assert_eq!(*lock(&world.told), [1, 1], "each is told once");
}

/// I44.
#[test]
fn who_joins_while_the_teller_ends_is_told_once() {
    let faults = [
        (Fault::LooksFirst, "each is told once"),
        (Fault::EndsLate, "each is told once"),
        (Fault::LeavesThem, "each is told once"),
    ];
    check("waiting list, end", the_end_tells_all, &faults);
}
