//! The flush thread: what reaches it, and in which order it does it.
//!
//! What arrives is taken off the channel at once and only noted, so that a hundred of a kind cost
//! one piece of work, and then done in this order: what is short, what somebody waits for, what the
//! thread does on its own account. A flush looks at what is short as well, after each
//! [`PIECE_ENTRIES`] entries or [`PIECE_BYTES`] and between two segments.
//!
//! | job | waits at most for | shown by |
//! |---|---|---|
//! | evict, retire, free, remove files | a piece of a flush: a segment's sync | `what_is_short_is_done_amid_a_flush` |
//! | replace, check manifest | the same, and each other | the same |
//! | flush on request | the flush under way, if any; then it gets one try, whatever has failed before | `a_close_waits_for_one_try_of_many` |
//! | flush for want of memory | the same, requests, and the back-off | `a_failing_flush_backs_off` |
//! | clean-up of keyspaces | all of the above | |
//! | stop | all of the above, once; nothing is begun on the thread's own account once it closes | `a_close_waits_for_one_try_of_many` |

use std::time::Duration;

use crate::engine::cleanup::Reclaim;
use crate::engine::flush::backoff::Backoff;
use crate::engine::index::publish_replaced;
use crate::engine::index::verify::check_manifest;
use crate::engine::shared::messages::FlushJob;
use crate::engine::{Core, Engine, GRACE_MS};
use crate::error::Result;
use crate::segment::Segment;
use crate::sync::Arc;
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender};
use crate::sync::clock::Instant;

/// How often the thread looks after what nobody tells it about.
const TICK: Duration = Duration::from_millis(500);

/// How much of a flush is written between two looks at what is short.
pub(crate) const PIECE_ENTRIES: u64 = 4_096;
pub(crate) const PIECE_BYTES: u64 = 4 << 20;

/// Segments with new tables, and who waits until they are in place.
type Replacement = (Vec<Arc<Segment>>, Sender<Result<()>>);

/// What has arrived and is not done yet.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    jobs: &'a Receiver<FlushJob>,
    pub(super) reclaim: Reclaim,
    /// The callers that wait for a flush of what was sealed when they asked.
    pub(super) flushes: Vec<Sender<Result<()>>>,
    checks: Vec<Sender<Result<()>>>,
    replacements: Vec<Replacement>,
    evict: bool,
    pub(super) pressure: bool,
    /// Whether segments have been given back since the disk was looked at.
    room: bool,
    pub(super) cleanup: bool,
    pub(super) stop: bool,
    next_tick: Instant,
    pub(super) flush_tries: Backoff,
    pub(super) cleanup_tries: Backoff,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(jobs: &'a Receiver<FlushJob>) -> Self {
        Self {
            jobs,
            reclaim: Reclaim::new(),
            flushes: Vec::new(),
            checks: Vec::new(),
            replacements: Vec::new(),
            evict: false,
            pressure: false,
            room: false,
            cleanup: false,
            stop: false,
            next_tick: Instant::now() + TICK,
            flush_tries: Backoff::default(),
            cleanup_tries: Backoff::default(),
        }
    }

    /// Waits for a job, or until there is something to do without one.
    pub(super) fn wait(&mut self) {
        // A try that may be made and is not due is no reason to wake up.
        let next_try = self.flush_tries.next_try().filter(|next_try| *next_try > Instant::now());
        let until = next_try.map_or(self.next_tick, |next_try| next_try.min(self.next_tick));
        match self.jobs.recv_deadline(until) {
            Ok(job) => self.take(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stop = true,
        }
    }

    pub(super) fn take(&mut self, job: FlushJob) {
        match job {
            // Whether a flush is due, the state says.
            FlushJob::Sealed => {}
            FlushJob::Flush { reply } => self.flushes.push(reply),
            FlushJob::Retire(view) => self.reclaim.retire(view),
            FlushJob::Pressure => self.pressure = true,
            FlushJob::Room => self.flush_tries.expire(),
            FlushJob::Evict => self.evict = true,
            FlushJob::Free(segments) => {
                self.room = true;
                segments.into_iter().for_each(|segment| self.reclaim.retire_file(segment));
            }
            FlushJob::Replace { fresh, reply } => self.replacements.push((fresh, reply)),
            FlushJob::CheckManifest { reply } => self.checks.push(reply),
            FlushJob::Cleanup => self.cleanup = true,
            FlushJob::Stop => self.stop = true,
        }
    }

    /// Takes in what has arrived, and does what is short. Also amid a flush.
    pub(crate) fn serve(&mut self, engine: &Engine) {
        let core = &engine.core;
        // No more than there are now: others may go on sending.
        for job in self.jobs.try_iter().take(self.jobs.len()) {
            self.take(job);
        }
        self.reclaim.free_many(core);
        if std::mem::take(&mut self.evict) {
            self.reclaim.evict(core);
        }
        for (fresh, reply) in std::mem::take(&mut self.replacements) {
            // The caller may have gone.
            let _ = reply.send(publish_replaced(core, &fresh, &mut self.reclaim));
        }
        for reply in std::mem::take(&mut self.checks) {
            // As above.
            let _ = reply.send(check_manifest(core));
        }
        if Instant::now() >= self.next_tick {
            self.reclaim.collect(core, GRACE_MS);
            self.cleanup = true;
            // After the work, so that slow work leaves time for other.
            self.next_tick = Instant::now() + TICK;
            core.measure_space();
            // So that what is in memory gives its logs back.
            self.pressure |= core.is_room_used_up();
        }
        if std::mem::take(&mut self.room) {
            if core.is_room_short() {
                self.reclaim.collect(core, 0);
            }
            core.freed();
        }
    }

    /// Frees what a flush has written and published, as far as nobody holds it any more.
    pub(crate) fn free_memtables(&mut self, core: &Core) {
        // The views that had it are on their way.
        for job in self.jobs.try_iter().take(self.jobs.len()) {
            self.take(job);
        }
        self.reclaim.free_memtables(core);
    }
}
