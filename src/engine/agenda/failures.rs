//! What merges have run into and what of it still stands: jobs that will be tried again, and
//! segments that were found damaged. The one place that says for how long.
//!
//! - A failure belongs to a job, by its runs. It stands until a step over these runs succeeds,
//!   until they are no longer there side by side, or until nobody wants them merged any more. The
//!   next try waits, twice as long each time.
//! - Damage belongs to a segment. It stands until no run refers to the segment, or until all of it
//!   was read and found sound. By themselves merges leave its runs alone until then.
//!
//! A request waits for neither: its own steps say how it ends. Plain data under the lock of
//! [`super::book`]; no I/O, no thread.

use std::time::Duration;

use crate::compaction::pick::JobState;
use crate::engine::agenda::pair::Step;
use crate::error::Error;
use crate::format::names::FileName;
use crate::ids::{FileNumber, RunId};
use crate::runs::{Run, SegmentSet};
use crate::sync::clock::Instant;

/// How long to wait after a failure before the next try, doubled with each further one, in
/// milliseconds.
const RETRY_MS: u64 = if cfg!(test) { 1 } else { 250 };
const RETRY_MS_MAX: u64 = 30_000;

/// How often a full disk may be met in a row before nobody waits for the next try.
const TIMES_FULL: u32 = 3;

/// What merges have run into, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Failure>);

#[derive(Debug)]
struct Failure {
    of: Of,
    error: Error,
}

#[derive(Debug)]
enum Of {
    /// The job over the runs of this step.
    Job {
        step: Step,
        times: u32,
        retry_at: Instant,
    },
    Segment(FileNumber),
}

impl Failures {
    /// Takes down why a step failed. Whether it has met a damaged segment, so that trying it again
    /// is of no use.
    pub(crate) fn add(
        &mut self,
        step: &Step,
        error: &Error,
        set: &SegmentSet,
        now: Instant,
    ) -> bool {
        let of = match damaged_segment(error, set) {
            Some(number) => {
                self.forget_segment(number);
                Of::Segment(number)
            }
            None => {
                let times = self.times(step);
                self.succeeded(step);
                let wait_ms = (RETRY_MS << times.min(8)).min(RETRY_MS_MAX);
                let retry_at = now + Duration::from_millis(wait_ms);
                Of::Job { step: step.clone(), times: times + 1, retry_at }
            }
        };
        let damaged = matches!(of, Of::Segment(_));
        self.0.push(Failure { of, error: error.clone() });
        damaged
    }

    /// Takes note that a step has got further.
    pub(crate) fn succeeded(&mut self, step: &Step) {
        self.0.retain(|failure| !failure.is_of(step));
    }

    /// Takes note that all of a segment was read, and nothing in it is damaged.
    pub(crate) fn found_sound(&mut self, segment: FileNumber) {
        self.forget_segment(segment);
    }

    fn forget_segment(&mut self, segment: FileNumber) {
        self.0.retain(|failure| !matches!(failure.of, Of::Segment(number) if number == segment));
    }

    /// Forgets what the present runs do not have.
    pub(crate) fn forget_gone(&mut self, set: &SegmentSet) {
        self.0.retain(|failure| failure.is_in(set));
    }

    /// Forgets jobs that could be tried again and that nobody has begun, after a look at all that
    /// there is to do: nobody wants them.
    pub(crate) fn forget_unwanted(&mut self, begun: &[&Step], now: Instant) {
        let wanted = |step: &Step| begun.iter().any(|begun| over_same(begun, step));
        self.0.retain(|failure| match &failure.of {
            Of::Job { step, retry_at, .. } => *retry_at > now || wanted(step),
            Of::Segment(_) => true,
        });
    }

    /// Forgets jobs over runs up to `newest`: all that was wanted of these has been done.
    pub(crate) fn forget_done(&mut self, newest: RunId) {
        let done = |step: &Step| step.newer.unwrap_or(step.older) <= newest;
        self.0.retain(|failure| !matches!(&failure.of, Of::Job { step, .. } if done(step)));
    }

    /// The newest that still stands.
    pub(crate) fn newest(&self, set: &SegmentSet) -> Option<Error> {
        let standing = self.0.iter().rfind(|failure| failure.is_in(set))?;
        Some(standing.error.clone())
    }

    /// Whether something has failed for another reason than a full disk, or often enough for it to
    /// go on failing.
    pub(crate) fn is_stuck(&self) -> bool {
        self.0.iter().any(|failure| match failure.of {
            Of::Job { times, .. } => times > TIMES_FULL || !is_full(&failure.error),
            Of::Segment(_) => true,
        })
    }

    /// Forgets what found the disk full.
    pub(crate) fn try_again_where_full(&mut self) {
        self.0.retain(|failure| !is_full(&failure.error));
    }

    /// Whether the last step over the runs of this one failed.
    pub(crate) fn has(&self, step: &Step) -> bool {
        self.times(step) > 0
    }

    fn times(&self, step: &Step) -> u32 {
        let of_step = self.0.iter().find(|failure| failure.is_of(step));
        match of_step.map(|failure| &failure.of) {
            Some(Of::Job { times, .. }) => *times,
            _ => 0,
        }
    }

    /// Whether a job has to wait before it is tried again unasked.
    pub(crate) fn is_waiting(&self, step: &Step, now: Instant) -> bool {
        let waits = |of: &Of| matches!(of, Of::Job { retry_at, .. } if *retry_at > now);
        self.0.iter().any(|failure| failure.is_of(step) && waits(&failure.of))
    }

    /// When the next job may be tried again that may not be now.
    pub(crate) fn next_try(&self, now: Instant) -> Option<Instant> {
        let tries = self.0.iter().filter_map(|failure| match failure.of {
            Of::Job { retry_at, .. } => Some(retry_at),
            Of::Segment(_) => None,
        });
        tries.filter(|retry_at| *retry_at > now).min()
    }

    /// Whether a damaged segment is in it.
    pub(crate) fn is_damaged(&self, run: &Run) -> bool {
        self.0.iter().any(|failure| failure.is_damage_in(run))
    }

    /// The runs that are left alone unless somebody asks, as jobs that nobody may continue.
    pub(crate) fn left_alone(&self, set: &SegmentSet, now: Instant) -> Vec<JobState> {
        let left = |newer, older| JobState { newer, older, remaining_bytes: 0, running: true };
        let waiting = self.0.iter().filter_map(|failure| match &failure.of {
            Of::Job { step, retry_at, .. } if *retry_at > now => {
                Some(left(step.newer.unwrap_or(step.older), step.older))
            }
            _ => None,
        });
        let damaged = set.runs.iter().filter(|run| self.is_damaged(run));
        waiting.chain(damaged.map(|run| left(run.id, run.id))).collect()
    }

    /// Puts every next try off.
    #[cfg(test)]
    pub(crate) fn put_off(&mut self, until: Instant) {
        for failure in &mut self.0 {
            if let Of::Job { retry_at, .. } = &mut failure.of {
                *retry_at = until;
            }
        }
    }
}

impl Failure {
    fn is_of(&self, step: &Step) -> bool {
        matches!(&self.of, Of::Job { step: failed, .. } if over_same(failed, step))
    }

    fn is_damage_in(&self, run: &Run) -> bool {
        matches!(self.of, Of::Segment(number) if has_segment(run, number))
    }

    fn is_in(&self, set: &SegmentSet) -> bool {
        match &self.of {
            Of::Job { step, .. } => step.is_in(set),
            Of::Segment(number) => set.runs.iter().any(|run| has_segment(run, *number)),
        }
    }
}

/// Whether two steps are over the same runs, wherever in them they begin and end.
fn over_same(one: &Step, other: &Step) -> bool {
    (one.newer, one.older) == (other.newer, other.older)
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::StorageFull { .. })
}

fn has_segment(run: &Run, number: FileNumber) -> bool {
    run.segments.iter().any(|part| part.segment.number() == number)
}

/// The segment of the set that an error says is damaged. What a step has written itself is none:
/// it is removed, and written again.
fn damaged_segment(error: &Error, set: &SegmentSet) -> Option<FileNumber> {
    let Error::Corruption { file, .. } = error else { return None };
    let name = file.file_name().and_then(|name| name.to_str())?;
    let Some(FileName::Segment(number)) = FileName::parse(name) else { return None };
    set.runs.iter().any(|run| has_segment(run, number)).then_some(number)
}
