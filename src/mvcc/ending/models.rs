//! Models of the close: nobody waits for ever, and nothing that was sent for the end is left. The
//! threads and what they wait by are the model's; without time-outs, so that who is not woken, or
//! not answered, is a deadlock.

use super::{Ending, ask};
use crate::mvcc::models::check;
use crate::sync::channel::{Receiver, Sender, bounded, unbounded};
use crate::sync::models::thread;
use crate::sync::{Condvar, Mutex, lock, wait};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The close ends the last thread, which another still uses.
    EndsOthersThread,
    /// A merge that goes on when the close begins ends as a user before it has sent all.
    EndsAsUserEarly,
    /// A thread that ends is not counted.
    EndsUncounted,
    /// The close wakes nobody.
    WakesNobody,
    /// The close wakes without the lock.
    WakesUnlocked,
    /// A thread that ends answers nobody.
    AnswersNobody,
    /// A caller that wants a merge looks first whether the close has begun, and not after.
    LooksFirst,
    /// The last thread ends before the close has asked for its flush.
    EndsThenAsks,
    /// The last thread's end of the channel outlives it.
    ReceiverKept,
    /// A caller keeps a way back of its own.
    ReplyKept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Closed,
}

enum Job {
    Flush(Sender<Answer>),
    /// A file that a merge has freed.
    Free,
    End,
}

struct World {
    fault: Fault,
    ending: Ending,
    jobs: Sender<Job>,
    /// Merges that are asked for.
    wanted: Mutex<Vec<Sender<Answer>>>,
    changed: Condvar,
}

fn world(fault: Fault) -> (&'static World, Receiver<Job>) {
    let (jobs, received) = unbounded();
    let wanted = Mutex::new(Vec::new());
    let world = World { fault, ending: Ending::new(), jobs, wanted, changed: Condvar::new() };
    // Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    (Box::leak(Box::new(world)), received)
}

impl World {
    fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    fn ask_for_flush(&self) -> Option<Answer> {
        if self.fault != Fault::ReplyKept {
            return ask(&self.jobs, Job::Flush);
        }
        let (reply, answer) = bounded(1);
        self.send(Job::Flush(reply.clone()));
        answer.recv().ok()
    }

    /// The last thread: as the flush thread. Returns how many files it has removed.
    fn run_last(&self, jobs: Receiver<Job>) -> usize {
        let mut removed = 0;
        let mut ends = false;
        while !ends {
            let first = jobs.recv().expect("the world has a sender");
            let more = std::iter::from_fn(|| jobs.try_recv().ok());
            for job in std::iter::once(first).chain(more) {
                match job {
                    Job::Flush(reply) => drop(reply.send(Answer::Done)),
                    Job::Free => removed += 1,
                    Job::End => ends = true,
                }
            }
        }
        if self.fault == Fault::ReceiverKept {
            std::mem::forget(jobs);
        }
        removed
    }

    /// A user of the last thread: as a compactor. Returns how many files it has freed.
    fn run_user(&self) -> usize {
        let mut freed = 0;
        let mut wanted = lock(&self.wanted);
        loop {
            if self.ending.has_begun() {
                if self.fault != Fault::AnswersNobody {
                    wanted.drain(..).for_each(|reply| drop(reply.send(Answer::Closed)));
                }
                drop(wanted);
                self.end_user();
                return freed;
            }
            match wanted.pop() {
                None => wanted = wait(&self.changed, wanted),
                Some(reply) => {
                    drop(wanted);
                    if self.fault == Fault::EndsAsUserEarly && self.ending.has_begun() {
                        self.end_user();
                        self.send(Job::Free);
                        let _ = reply.send(Answer::Done);
                        return freed + 1;
                    }
                    self.send(Job::Free);
                    freed += 1;
                    let _ = reply.send(Answer::Done);
                    wanted = lock(&self.wanted);
                }
            }
        }
    }

    fn end_user(&self) {
        if self.fault != Fault::EndsUncounted && self.ending.end_user() {
            self.send(Job::End);
        }
    }

    /// Asks for a merge, and waits for it.
    fn merge(&self) -> Answer {
        let (reply, answer) = bounded(1);
        if self.fault == Fault::LooksFirst && self.ending.has_begun() {
            return Answer::Closed;
        }
        lock(&self.wanted).push(reply);
        self.changed.notify_all();
        if self.fault != Fault::LooksFirst && self.ending.has_begun() {
            return Answer::Closed;
        }
        answer.recv().expect("a merge is answered")
    }

    /// The close, up to the join.
    fn close(&self) {
        self.ending.begin();
        match self.fault {
            Fault::WakesNobody => {}
            Fault::WakesUnlocked => self.changed.notify_all(),
            _ => {
                drop(lock(&self.wanted));
                self.changed.notify_all();
            }
        }
        if self.fault == Fault::EndsThenAsks {
            self.send(Job::End);
        }
        assert_eq!(self.ask_for_flush(), Some(Answer::Done), "the close's own flush is refused");
        if self.fault == Fault::EndsOthersThread || self.ending.end_user() {
            self.send(Job::End);
        }
    }
}

/// The close, a thread that merges, one that asks for a merge, and the last thread.
fn users_end_before_the_last(fault: Fault) {
    let (world, jobs) = world(fault);
    world.ending.add_user();
    let last = thread::spawn(move || world.run_last(jobs));
    let user = thread::spawn(move || world.run_user());
    let caller = thread::spawn(move || world.merge());
    world.close();
    let merged = caller.join().expect("no thread panics") == Answer::Done;
    let freed = user.join().expect("no thread panics");
    let removed = last.join().expect("no thread panics");
    assert_eq!(removed, freed, "a file that a last merge has freed is left");
    assert!(freed == 1 || !merged);
}

/// The close, a thread that waits for something to merge, and the last thread.
fn sleepers_are_woken(fault: Fault) {
    let (world, jobs) = world(fault);
    world.ending.add_user();
    let last = thread::spawn(move || world.run_last(jobs));
    let user = thread::spawn(move || world.run_user());
    world.close();
    assert_eq!(user.join().expect("no thread panics"), 0);
    assert_eq!(last.join().expect("no thread panics"), 0);
}

/// The close, the last thread, and one that asks it for a flush.
fn everyone_is_answered(fault: Fault) {
    let (world, jobs) = world(fault);
    let last = thread::spawn(move || world.run_last(jobs));
    let caller = thread::spawn(move || world.ask_for_flush());
    world.close();
    last.join().expect("no thread panics");
    let answer = caller.join().expect("no thread panics");
    assert_ne!(answer, Some(Answer::Closed), "the last thread does it, or drops it");
}

#[test]
fn a_close_ends_all_threads_and_nobody_waits_for_ever() {
    let left = "a file that a last merge has freed is left";
    let faults = [
        (Fault::EndsOthersThread, left),
        (Fault::EndsAsUserEarly, left),
        (Fault::EndsUncounted, "deadlock"),
        (Fault::AnswersNobody, "deadlock"),
        (Fault::LooksFirst, "deadlock"),
    ];
    check("close, threads", users_end_before_the_last, &faults);
    let faults = [(Fault::WakesNobody, "deadlock"), (Fault::WakesUnlocked, "deadlock")];
    check("close, asleep", sleepers_are_woken, &faults);
    let faults = [
        (Fault::EndsThenAsks, "the close's own flush is refused"),
        (Fault::ReceiverKept, "deadlock"),
        (Fault::ReplyKept, "deadlock"),
    ];
    check("close, asked", everyone_is_answered, &faults);
}
