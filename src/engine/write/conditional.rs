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

use crate::engine::read::get::id_of;
use crate::engine::write::entry::{Condition, check_sizes};
use crate::engine::write::hold::HoldGuard;
use crate::engine::{Engine, KeyspaceState};
use crate::error::Result;
use crate::ids::Sequence;
use crate::options::Durability;
use crate::value::Value;

/// After so many refusals the key is held. Fewer would make others wait where the next try would
/// have gone through; more are more work in vain.
const TRIES_MAX: u32 = 8;

/// What the caller wants to become of a key, and what it answers if that comes to pass.
pub(crate) enum Decision<B, R> {
    Leave(R),
    Put(B, R),
    Delete(R),
}

impl Engine {
    /// Changes a key from what it is to what `decide` makes of it, with nothing in between. Returns
    /// the answer, and the sequence of the change; where nothing is to change, one that covers all
    /// that was read, as durable as the change would have been.
    pub(crate) fn write_conditional<B: AsRef<[u8]>, R>(
        &self,
        keyspace: Option<&KeyspaceState>,
        key: &[u8],
        durability: Durability,
        mut decide: impl FnMut(Option<Value>) -> Decision<B, R>,
    ) -> Result<(R, Sequence)> {
        check_sizes(key, &[])?;
        self.refuse_early()?;
        let id = id_of(keyspace);
        let (mut tries, mut hold): (u32, Option<HoldGuard<'_>>) = (0, None);
        let mut seen = self.get_seen(keyspace, key)?;
        loop {
            let (value, answer) = match decide(seen.value.clone()) {
                // The read was one step of the commit order already.
                Decision::Leave(answer) => {
                    if durability == Durability::Sync {
                        self.wait_durable(seen.at)?;
                    }
                    return Ok((answer, seen.at));
                }
                Decision::Put(value, answer) => (Some(value), answer),
                Decision::Delete(answer) => (None, answer),
            };
            let value = value.as_ref().map(AsRef::as_ref);
            // A decision goes by the value, and holds for as long as that is what it was.
            let decided = std::mem::take(&mut seen.value);
            let condition = Condition { since: seen.since, hold: hold.as_ref().map(|it| it.hold) };
            let again = || {
                self.refuse_early()?;
                tries += 1;
                if tries >= TRIES_MAX && hold.is_none() {
                    hold = self.hold_key(id, key)?;
                }
                seen = self.get_seen(keyspace, key)?;
                let hold = hold.as_ref().map(|it| it.hold);
                let same = seen.value == decided;
                Ok(same.then_some(Condition { since: seen.since, hold }))
            };
            let written = self.write_one_if(id, key, value, durability, Some(condition), again)?;
            if let Some(sequence) = written {
                return Ok((answer, sequence));
            }
        }
    }
}
