//! Read, decide, write: one key, as one step of the commit order.
//!
//! 1. Outside the section: load `visible`, which is *seen*; then read the key as every read does:
//!    the view, then `visible` again. All up to *seen* is in that view. (Up to the second `visible`
//!    it need not be: a write may have gone into a memtable that a rotation has put up meanwhile.)
//! 2. Outside: the caller's code decides. It runs again after a 4 that refuses if the value that
//!    is read then is another.
//! 3. Encode, and enter the section with *seen*.
//! 4. Inside (`section`): refuse if a memtable has a version of the key above *seen*, or if
//!    memtables with sequences above it have been flushed, in which one may have been; then from 1
//!    again. Otherwise commit like any write.
//!
//! Nobody waits for another writer's decision, as long as tries are few. Each refusal by a version
//! means that another write to the key has come to pass. One by a flush means that the flush ended
//! between 1 and 4. What takes long is done once for each decision: the wait for memory, and the
//! log file of a value that is too big for a memtable.
//!
//! Both may go on for ever beside a busy load, so after `TRIES_MAX` refusals the key is *held*
//! (`holds`): other writers of it wait, and flushes do not count. The next 4 does not refuse.

use crate::engine::commit::entry::{Condition, Refused, Write, check_sizes};
use crate::engine::commit::holds::HoldClaim;
use crate::engine::read::get::get_seen;
use crate::engine::shared::patience::Stalled;
use crate::engine::write::hold::HoldGuard;
use crate::engine::write::put::Committed;
use crate::engine::write::{hold, put, sync};
use crate::engine::{Engine, KeyspaceState};
use crate::error::{Error, Result};
use crate::ids::{KeyspaceId, Sequence};
use crate::options::Durability;
use crate::value::Value;

/// After this many refusals the key is held. Fewer would make others wait where the next try would
/// have gone through; more are more work in vain.
pub(crate) const TRIES_MAX: u32 = 8;

/// What the caller wants to become of a key, and what it answers if that comes to pass.
pub(crate) enum Decision<B, R> {
    Leave(R),
    Put(B, R),
    Delete(R),
}

/// Changes a key from what it is to what `decide` makes of it, with nothing in between. Returns
/// the answer, and the sequence of the change; where nothing is to change, one that covers all
/// that was read, as durable as the change would have been. An error of `decide` changes nothing.
pub(crate) fn write_conditional<B: AsRef<[u8]>, R, E: From<Error>>(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    durability: Durability,
    mut decide: impl FnMut(Option<Value>) -> Result<Decision<B, R>, E>,
) -> Result<(R, Sequence), E> {
    check_sizes(key, &[])?;
    engine.core.refuse_early()?;
    let id = keyspace.id;
    let mut attempt = Attempt { engine, id, key, tries: 0, hold: None };
    let mut seen = get_seen(engine, keyspace, key)?;
    // One call's, however often it decides.
    let mut stalled = Stalled::default();
    loop {
        let (value, answer) = match decide(seen.value.clone())? {
            // The read was one step of the commit order already.
            Decision::Leave(answer) => {
                if durability == Durability::Sync {
                    sync::wait_durable(engine, seen.at)?;
                }
                return Ok((answer, seen.at));
            }
            Decision::Put(value, answer) => (Some(value), answer),
            Decision::Delete(answer) => (None, answer),
        };
        let value = value.as_ref().map(AsRef::as_ref);
        // A decision goes by the value, and holds for as long as that is what it was.
        let decided = std::mem::take(&mut seen.value);
        let mut write = Write::encode_one(id, key, value)?;
        write.condition = attempt.condition(seen.since);
        write.stalled = std::mem::take(&mut stalled);
        let again = |write: &mut Write<'_>, _: &Refused| -> Result<bool> {
            attempt.refused(write)?;
            seen = get_seen(engine, keyspace, key)?;
            write.condition = attempt.condition(seen.since);
            Ok(seen.value == decided)
        };
        let written = write_if(engine, &mut write, durability, again);
        stalled = std::mem::take(&mut write.stalled);
        write.leave();
        if let Some(sequence) = written? {
            return Ok((answer, sequence));
        }
    }
}

/// As `put::write`, for a write on a condition. Where that does not hold, `again` puts another
/// in its place, or says `false`: then nothing was written. What is encoded, waited for and
/// written ahead is so for all tries.
pub(super) fn write_if<'a>(
    engine: &Engine,
    write: &mut Write<'a>,
    durability: Durability,
    mut again: impl FnMut(&mut Write<'a>, &Refused) -> Result<bool>,
) -> Result<Option<Sequence>> {
    put::with_room(engine, write, |write| {
        put::admit(engine, write)?;
        match commit_if(engine, write, &mut again).transpose() {
            Some(committed) => put::settle(engine, write, committed, durability).map(Some),
            None => {
                write.give_up_private(&engine.core);
                Ok(None)
            }
        }
    })
}

fn commit_if<'a>(
    engine: &Engine,
    write: &mut Write<'a>,
    mut again: impl FnMut(&mut Write<'a>, &Refused) -> Result<bool>,
) -> Result<Option<Committed>> {
    loop {
        match put::try_commit(engine, write) {
            Ok(committed) => return Ok(Some(committed)),
            Err(refused @ (Refused::Changed | Refused::TooMuch)) => {
                if !again(write, &refused)? {
                    return Ok(None);
                }
            }
            Err(refused) => put::make_way(engine, refused, write)?,
        }
    }
}

/// How often a conditional write was refused, and what has followed from that.
struct Attempt<'a> {
    engine: &'a Engine,
    id: KeyspaceId,
    key: &'a [u8],
    tries: u32,
    hold: Option<HoldGuard<'a>>,
}

impl Attempt<'_> {
    /// Counts a refusal. After `TRIES_MAX` the key is held.
    fn refused(&mut self, write: &mut Write<'_>) -> Result<()> {
        self.engine.core.refuse_early()?;
        self.tries += 1;
        if self.tries >= TRIES_MAX && self.hold.is_none() {
            let claim = HoldClaim::Key(self.id, self.key.to_vec());
            self.hold = write.wait_for_hold(&self.engine.core, |stalled, give_way| {
                hold::hold(self.engine, claim, stalled, give_way)
            })?;
            put::admit_again(self.engine, write)?;
        }
        Ok(())
    }

    /// On what the next try commits, after a look at the key that covers all up to `since`.
    fn condition(&self, since: Sequence) -> Condition<'static> {
        match &self.hold {
            Some(held) => Condition::Holds(held.hold),
            None => Condition::UnchangedSince(since),
        }
    }
}
