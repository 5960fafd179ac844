//! Held keys: how a write that depends on what its writer has read gets its turn after it was
//! refused too often (D42, D52). A conditional write holds its key, a transaction all that it has
//! read.
//!
//! 1. Inside the section: put the wish behind the others on the list. Outside: wait until it is
//!    granted, which is when nothing before it on the list overlaps; all of it at once.
//! 2. Outside: read, decide, encode, write ahead.
//! 3. Inside: commit. Nothing is compared with what was read: since 1 nobody else has written any
//!    of it (I40), and a flush only moves what was there.
//! 4. Inside: take it off the list; wake who waits for it.
//!
//! A write to what somebody else holds is refused in the section, and waits outside, at the gate,
//! for as long as a write may wait for memory; then it fails with `KeyHeld`. The holder's own
//! thread is let through, because its own code may write there: that spoils the hold for one try.
//! Each write looks whether anything is held, at all times but for the unlucky none.
//!
//! # No circle
//!
//! A writer that waits for a hold has none, and no memory booked, for which the holder may have to
//! wait: a big write gives up what it has written ahead (`Write::put_back`). A conditional write
//! wants one key, and a transaction all of its spans in one wish; two transactions' wishes always
//! count as overlapping, so at most one holds.
//! There are two exceptions. A transaction that has come to its commit under a hold may want more
//! of it ([`Holds::widen`]): it waits only for keys that conditional writes hold, and these want
//! nothing more. And code of the caller that runs under a hold may begin another write, or wait for
//! a thread that does. On the same thread it is let through, past wishes of others too; but two
//! threads whose code, each under a hold, writes what the other holds wait for each other. Their
//! patience ends that.

use crate::engine::commit::entry::{HoldId, Refused, Write};
use crate::engine::commit::spans::Spans;
use crate::engine::shared::own::Caller;
use crate::error::Result;
use crate::format::batch::ops;
use crate::ids::KeyspaceId;
use crate::sync::Arc;

/// What is held, and wished for, in the order in which it was asked for. Little, if anything: each
/// is the last resort of one writer.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    pub(crate) list: Vec<Hold>,
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) id: HoldId,
    claim: HoldClaim,
    caller: Caller,
    granted: bool,
    /// The holder's own thread has written some of it by another write.
    spoiled: bool,
}

/// What nobody else may write.
#[derive(Debug)]
pub(crate) enum HoldClaim {
    /// A conditional write's key.
    Key(KeyspaceId, Vec<u8>),
    /// What a transaction has read. Shared: it may be much, and is neither copied nor freed in the
    /// section.
    Spans(Arc<Spans>),
    /// Whatever a transaction may read.
    Everything,
}

impl HoldClaim {
    fn has(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        match self {
            Self::Key(id, held) => (*id, &**held) == (keyspace, key),
            Self::Spans(spans) => spans.has_key(keyspace, key),
            Self::Everything => true,
        }
    }

    /// Whether one of the two has to wait for the other. Of transactions one always has.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(keyspace, key), claim) | (claim, Self::Key(keyspace, key)) => {
                claim.has(*keyspace, key)
            }
            _ => true,
        }
    }
}

impl Holds {
    /// Whether anything is held, or wished for.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Whether somebody else holds what a write without a hold writes.
    pub(crate) fn refuses(&self, write: &Write<'_>, caller: Caller) -> bool {
        let mine = write.condition.hold();
        let others = || self.list.iter().filter(|it| it.granted && Some(it.id) != mine);
        let held = |keyspace, key: &[u8]| {
            others().any(|it| it.caller != caller && it.claim.has(keyspace, key))
        };
        self.any() && ops(write.body()).any(|op| op.is_ok_and(|op| held(op.keyspace, op.key)))
    }

    /// Refuses a write to what others hold, and one under a hold that is gone or spoiled.
    #[cold]
    pub(crate) fn admit(
        &mut self,
        write: &Write<'_>,
        caller: impl Fn() -> Caller,
    ) -> Result<(), Refused> {
        let mine = write.condition.hold();
        // Whose own thread writes what it holds, by a write that is not under it.
        let mut spoiled = Vec::new();
        for op in ops(write.body()) {
            let op = op.expect("the batch was encoded by this process");
            let others = self.list.iter_mut().filter(|it| it.granted && Some(it.id) != mine);
            for other in others.filter(|it| it.claim.has(op.keyspace, op.key)) {
                if other.caller != caller() {
                    return Err(Refused::Held);
                }
                spoiled.push(other.id);
            }
        }
        if let Some(mine) = mine {
            let mine = self.list.iter_mut().find(|it| it.id == mine);
            let sound = mine.is_some_and(|mine| !std::mem::take(&mut mine.spoiled));
            if !sound {
                return Err(Refused::Changed);
            }
        }
        for hold in self.list.iter_mut().filter(|it| spoiled.contains(&it.id)) {
            hold.spoiled = true;
        }
        Ok(())
    }

    /// Puts a wish on the list. `None` if a write that this one runs inside of holds the key.
    pub(crate) fn wish(&mut self, claim: HoldClaim, caller: Caller) -> Option<HoldId> {
        if let HoldClaim::Key(keyspace, key) = &claim {
            let mut outer = self.list.iter().filter(|it| it.granted && it.caller == caller);
            if outer.any(|it| it.claim.has(*keyspace, key)) {
                return None;
            }
        }
        self.last += 1;
        let id = HoldId(self.last);
        self.list.push(Hold { id, claim, caller, granted: false, spoiled: false });
        Some(id)
    }

    /// Grants a wish if nothing before it on the list is in its way. Of those before it that only
    /// wait themselves nothing is, if the same thread holds something already: one of them may wait
    /// for that.
    pub(crate) fn grant(&mut self, id: HoldId) -> bool {
        let Some(at) = self.list.iter().position(|it| it.id == id) else { return false };
        let wish = &self.list[at];
        let inner = self.list.iter().any(|it| it.granted && it.caller == wish.caller);
        let free = self.list[..at].iter().all(|before| {
            before.caller == wish.caller
                || inner && !before.granted
                || !before.claim.meets(&wish.claim)
        });
        // One that came later may have been granted past this wish, from inside of a hold.
        let free = free && self.is_free(id, &wish.claim, wish.caller);
        self.list[at].granted |= free;
        free
    }

    /// What a hold covers, unless that is a key or everything.
    pub(crate) fn spans(&self, id: HoldId) -> Option<Arc<Spans>> {
        match &self.list.iter().find(|it| it.id == id)?.claim {
            HoldClaim::Spans(spans) => Some(Arc::clone(spans)),
            HoldClaim::Key(..) | HoldClaim::Everything => None,
        }
    }

    /// Has a transaction's hold cover `claim`, which has all that it covers so far, if nobody holds
    /// any of the rest. Leaves the one before in its place.
    pub(crate) fn widen(&mut self, id: HoldId, claim: &mut HoldClaim) -> bool {
        let Some(at) = self.list.iter().position(|it| it.id == id) else { return false };
        let free = self.is_free(id, claim, self.list[at].caller);
        if free {
            std::mem::swap(&mut self.list[at].claim, claim);
        }
        free
    }

    /// Takes a hold off the list.
    pub(crate) fn let_go(&mut self, id: HoldId) -> Option<Hold> {
        let at = self.list.iter().position(|it| it.id == id)?;
        Some(self.list.remove(at))
    }

    fn is_free(&self, id: HoldId, claim: &HoldClaim, caller: Caller) -> bool {
        let mut others = self.list.iter().filter(|it| it.granted && it.id != id);
        others.all(|it| it.caller == caller || !it.claim.meets(claim))
    }
}

#[cfg(test)]
mod tests;
