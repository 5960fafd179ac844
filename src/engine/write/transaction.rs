//! A transaction's commit: its writes as one batch, if what it has read is as it was.
//!
//! It reads at a registered snapshot, and its reads are kept: keys, and ranges as far as they were
//! walked over. *Known* is the sequence up to which nothing of them has changed; at first it is the
//! snapshot's.
//!
//! 1. Outside the section: load `visible`, then the view. Look in memtables and runs for a version
//!    above *known* of anything that was read ([`find_change`]): if there is one, that is a
//!    conflict, and nothing was changed. Otherwise *known* is that `visible`.
//! 2. Enter the section with the writes, encoded, and with *known*.
//! 3. Inside (`section`): if nothing was written since *known*, commit. Wait for the earlier
//!    writes; refuse if a flush has taken anything above *known* out of the memtables; look in the
//!    memtables for a version above it, and refuse if there is one, or too much to look at. A
//!    refusal means: from 1 again, where a conflict is found by its key.
//! 4. After `TRIES_MAX` refusals, or one for too much: hold what was read (`holds`), and from 1
//!    again. Then 3 has nothing to look at.
//!
//! So the transaction takes place at its commit: all that it has read is there as it has read it
//! (I42). It loses to those that have changed that, and to nobody else: neither a flush that
//! overtakes it nor writes of other keys make it fail.
//!
//! # Turns
//!
//! What is to be run again until it commits gets its turn ([`LostRuns`]): after `TRIES_MAX` lost
//! runs it begins with a hold on what the last of them has read and written, so that others wait;
//! if its code reads something else each time, with a hold on everything after two more. That run
//! loses only to what its own code writes past it.

#[cfg(test)]
use std::cell::RefCell;

use crate::engine::Engine;
use crate::engine::commit::entry::{Batch, Condition, ReadsUnchanged, Refused, Write};
use crate::engine::commit::holds::HoldClaim;
use crate::engine::commit::spans::Spans;
use crate::engine::read::changed::{ReadChange, find_change};
use crate::engine::read::get::SeenAll;
use crate::engine::shared::patience::Stalled;
use crate::engine::write::conditional::{TRIES_MAX, write_if};
use crate::engine::write::hold::{self, HoldGuard};
use crate::engine::write::{put, sync};
use crate::error::{Error, Result};
use crate::ids::{KeyspaceId, Sequence};
use crate::options::Durability;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// After so many lost runs under a hold on what was read the next holds everything.
const HELD_RUNS_MAX: u32 = 2;

#[cfg(test)]
thread_local! {
    /// What comes between the look and the section, in each try of this thread. Taken out while it
    /// runs: it may be a transaction.
    pub(crate) static BETWEEN: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// What a transaction is at its end.
pub(crate) struct AtCommit<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) writes: &'a Batch,
    /// What has to be as it was.
    pub(crate) reads: &'a Spans,
    /// What tells whether it is.
    pub(crate) basis: Basis<'a>,
    pub(crate) durability: Durability,
}

/// What tells that what was read is as it was.
#[derive(Clone, Copy)]
pub(crate) enum Basis<'a> {
    /// None of it has a version above the snapshot's sequence.
    Snapshot(Sequence),
    /// The keys have the values that a batch requires: what comes in between may have changed them
    /// back.
    Values(&'a [Requirement]),
}

/// What a key must have for a batch to be written.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: Vec<u8>,
    /// `None` if it must have no value.
    pub(crate) expected: Option<Vec<u8>>,
}

/// Writes a batch if each requirement is met at its place in the order.
pub(crate) fn write_required(
    engine: &Engine,
    writes: &Batch,
    requirements: &[Requirement],
    durability: Durability,
) -> Result<Sequence> {
    engine.core.refuse_early()?;
    let mut reads = Spans::default();
    requirements.iter().for_each(|it| reads.add_key(it.keyspace, &it.key));
    let basis = Basis::Values(requirements);
    AtCommit { engine, writes, reads: &reads, basis, durability }.try_commit(None)
}

impl<'a> AtCommit<'a> {
    /// Commits, under the hold if there is one. Returns the sequence of the last write; where there
    /// is none, the snapshot's.
    pub(crate) fn commit(&self, held: Option<&HoldGuard<'a>>) -> Result<Sequence> {
        let counters = &self.engine.core.counters.transactions;
        let committed = self.try_commit(held);
        match &committed {
            Ok(_) => counters.commits.fetch_add(1, Ordering::Relaxed),
            Err(Error::Conflict { .. }) => counters.conflicts.fetch_add(1, Ordering::Relaxed),
            Err(_) => 0,
        };
        committed
    }

    /// Step 1. Up to which sequence nothing has changed, if that was known up to `known`; and one
    /// that covers all that was read.
    fn look(&self, known: Sequence) -> Result<(Sequence, Sequence)> {
        match self.basis {
            Basis::Snapshot(at) => {
                let found = find_change(self.engine, self.reads, known.max(at))?;
                let known = found.map_err(|change| conflict(self.engine, change))?;
                Ok((known, at))
            }
            Basis::Values(requirements) => check_values(self.engine, requirements),
        }
    }

    fn try_commit(&self, held: Option<&HoldGuard<'a>>) -> Result<Sequence> {
        let Self { engine, writes, reads, durability, .. } = *self;
        if writes.len_ops() == 0 {
            engine.core.check_process()?;
            let (_, covered) = self.look(Sequence(0))?;
            if durability == Durability::Sync {
                sync::wait_durable(engine, covered)?;
            }
            return Ok(covered);
        }
        if reads.is_empty() && held.is_none() {
            return put::write_batch(engine, writes, durability);
        }
        engine.core.refuse_early()?;
        let known = Sequence(0);
        let mut attempt = Looks { of: self, known, tries: 0, outer: held, own: None };
        let mut write = Write::of_batch(writes);
        write.condition = attempt.look()?;
        let again = |write: &mut Write<'a>, refused: &Refused| {
            attempt.refused(refused, write)?;
            write.condition = attempt.look()?;
            Ok(true)
        };
        let written = write_if(engine, &mut write, durability, again);
        write.leave();
        Ok(written?.expect("each refusal is followed by another try, or by an error"))
    }
}

/// Refuses a batch if a key has another value than it requires, at one point for all of them: a
/// batch that only requires takes place there. Returns as [`AtCommit::look`].
fn check_values(engine: &Engine, requirements: &[Requirement]) -> Result<(Sequence, Sequence)> {
    let seen = SeenAll::now(engine);
    for Requirement { keyspace, key, expected } in requirements {
        let state = engine.core.keyspaces.by_id(*keyspace);
        let state = state.ok_or_else(|| engine.core.keyspaces.dropped_error(*keyspace))?;
        if !seen.has(&state, key, expected.as_deref())? {
            let keyspace = state.name();
            return Err(Error::RequirementFailed { keyspace, key: key.clone() });
        }
    }
    Ok((seen.since, seen.at))
}

/// How often a commit was refused, and what has followed from that.
struct Looks<'e, 'a> {
    of: &'e AtCommit<'a>,
    /// Nothing that was read has a version above the snapshot, up to here.
    known: Sequence,
    tries: u32,
    /// What its run holds. It may cover other keys than those that were read.
    outer: Option<&'e HoldGuard<'a>>,
    own: Option<HoldGuard<'a>>,
}

impl<'a> Looks<'_, 'a> {
    /// Step 1. On what the next try commits.
    fn look(&mut self) -> Result<Condition<'a>> {
        let reads = self.of.reads;
        (self.known, _) = self.of.look(self.known)?;
        let hold = self.own.as_ref().or(self.outer).map(|held| held.hold);
        let all_held = self.tries >= TRIES_MAX;
        let since = (!all_held).then_some(self.known);
        #[cfg(test)]
        if let Ok(Some(mut hook)) = BETWEEN.try_with(RefCell::take) {
            hook();
            let _ = BETWEEN.try_with(|between| between.replace(Some(hook)));
        }
        Ok(Condition::Reads(ReadsUnchanged { reads, since, hold }))
    }

    /// Counts a refusal, and holds what was read when there were too many.
    fn refused(&mut self, refused: &Refused, write: &mut Write<'_>) -> Result<()> {
        let AtCommit { engine, reads, .. } = *self.of;
        engine.core.refuse_early()?;
        if self.tries >= TRIES_MAX {
            // Only its own thread comes between now, or a drop, which the next look finds.
            self.tries += 1;
            let again = self.tries < 2 * TRIES_MAX;
            return if again { Ok(()) } else { Err(Error::Conflict { keyspace: None, key: None }) };
        }
        self.tries += 1;
        if matches!(refused, Refused::TooMuch) {
            self.tries = TRIES_MAX;
        }
        if self.tries == TRIES_MAX {
            engine.core.counters.transactions.holds.fetch_add(1, Ordering::Relaxed);
            write.wait_for_hold(&engine.core, |stalled, give_way| {
                match self.outer {
                    Some(held) => held.widen(reads, stalled, give_way)?,
                    None => {
                        let claim = HoldClaim::Spans(Arc::new(reads.clone()));
                        self.own = hold::hold(engine, claim, stalled, give_way)?;
                    }
                }
                Ok::<_, Error>(())
            })?;
            put::admit_again(engine, write)?;
        }
        Ok(())
    }
}

fn conflict(engine: &Engine, change: ReadChange) -> Error {
    let (id, key) = match change {
        ReadChange::Key(id, key) => (id, Some(key)),
        ReadChange::Dropped(id) => (id, None),
    };
    Error::Conflict { keyspace: engine.core.keyspaces.name_of(id), key }
}

/// How often the runs of one piece of work have lost, and what the next one holds.
pub(crate) struct LostRuns<'a> {
    engine: &'a Engine,
    lost: u32,
    held: Option<HoldGuard<'a>>,
    /// What the call has waited.
    stalled: Stalled,
}

impl<'a> LostRuns<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, lost: 0, held: None, stalled: Stalled::default() }
    }

    /// What the run holds.
    pub(crate) fn held(&self) -> Option<&HoldGuard<'a>> {
        self.held.as_ref()
    }

    /// Counts a lost run, which has read and written `spans`. The next one begins after this; if
    /// none may, returns the error.
    pub(crate) fn lost(&mut self, spans: &Spans, error: Error) -> Result<()> {
        self.lost += 1;
        let claim = match self.lost.checked_sub(TRIES_MAX) {
            None => return Ok(()),
            Some(held_runs) if held_runs < HELD_RUNS_MAX => {
                HoldClaim::Spans(Arc::new(spans.clone()))
            }
            Some(HELD_RUNS_MAX) => HoldClaim::Everything,
            Some(_) => return Err(error),
        };
        // One at a time.
        self.held = None;
        self.engine.core.counters.transactions.holds.fetch_add(1, Ordering::Relaxed);
        self.held = hold::hold(self.engine, claim, &mut self.stalled, &mut || {})?;
        Ok(())
    }
}
