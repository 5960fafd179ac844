//! Held keys: how a conditional write that was refused too often gets its turn (D42).
//!
//! 1. Inside the section: put the key on the list of held ones, unless another writer has it there;
//!    then wait, and again.
//! 2. Outside: read the key, decide, encode, write ahead.
//! 3. Inside: commit. Nothing is compared with what was read: since 1 nobody else has written the
//!    key (I40), and a flush only moves what was there.
//! 4. Inside: take it off the list; wake who waits for it.
//!
//! A write to a held key by anybody else is refused in the section, and waits outside, at the gate,
//! for as long as a write may wait for memory; then it fails with `KeyHeld`. The holder's own
//! thread is let through, because its own code may write the key: that spoils the hold for one try.
//! Each write looks whether any key is held, at all times but for the unlucky none.

use crate::engine::commit::entry::{Condition, HoldId};
use crate::engine::commit::entry::{Refused, Write};
use crate::engine::shared::own::Caller;
use crate::error::Result;
use crate::format::batch::ops;
use crate::ids::KeyspaceId;

/// The held keys. Few, if any: each is the last resort of one writer.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    pub(crate) list: Vec<Hold>,
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) id: HoldId,
    keyspace: KeyspaceId,
    key: Vec<u8>,
    caller: Caller,
    /// The holder's own thread has written the key by another write.
    spoiled: bool,
}

impl Holds {
    /// Whether any key is held.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Whether the write commits without a further look, because it holds its key.
    #[cold]
    pub(crate) fn passes(
        &mut self,
        write: &Write<'_>,
        caller: impl Fn() -> Caller,
    ) -> Result<bool, Refused> {
        let mine = match write.condition {
            Condition::Holds(hold) => Some(hold),
            Condition::None | Condition::UnchangedSince(_) => None,
        };
        for op in ops(write.body()) {
            let op = op.expect("the batch was encoded by this process");
            let held = self.list.iter().find(|it| (it.keyspace, &*it.key) == (op.keyspace, op.key));
            if held.is_some_and(|held| Some(held.id) != mine && held.caller != caller()) {
                return Err(Refused::Held);
            }
        }
        if let Some(mine) = self.list.iter_mut().find(|it| Some(it.id) == mine) {
            let spoiled = std::mem::take(&mut mine.spoiled);
            return if spoiled { Err(Refused::Changed) } else { Ok(true) };
        }
        for op in ops(write.body()) {
            let op = op.expect("the batch was encoded by this process");
            let found = |it: &&mut Hold| (it.keyspace, &*it.key) == (op.keyspace, op.key);
            if let Some(held) = self.list.iter_mut().find(found) {
                held.spoiled = true;
            }
        }
        Ok(false)
    }

    /// Holds a key, unless somebody does.
    pub(crate) fn hold(&mut self, keyspace: KeyspaceId, key: &[u8], caller: Caller) -> Held {
        let held = self.list.iter().find(|it| (it.keyspace, &*it.key) == (keyspace, key));
        match held {
            Some(held) if held.caller == caller => Held::ByThisThread,
            Some(_) => Held::BySomebody,
            None => {
                self.last += 1;
                let id = HoldId(self.last);
                let key = key.to_vec();
                self.list.push(Hold { id, keyspace, key, caller, spoiled: false });
                Held::Now(id)
            }
        }
    }
}

/// How the wish for a hold went.
pub(crate) enum Held {
    Now(HoldId),
    BySomebody,
    /// By a write that this one runs inside of.
    ByThisThread,
}
