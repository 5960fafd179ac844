//! How a writer holds a key, and how others wait meanwhile: steps 1 and 4 of `holds`.

use crate::engine::Engine;
use crate::engine::commit::entry::HoldId;
use crate::engine::commit::holds::Held;
use crate::engine::shared::own::Caller;
use crate::engine::shared::patience::{Patience, Stalled};
use crate::error::{Error, Result};
use crate::ids::KeyspaceId;

/// A hold, which ends with this.
pub(crate) struct HoldGuard<'a> {
    engine: &'a Engine,
    pub(crate) hold: HoldId,
}

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        // After a panic in the section nobody commits, whatever is held.
        let _ = self.engine.in_section(|env, _| env.holds.list.retain(|it| it.id != self.hold));
        self.engine.core.gate.wake();
    }
}

/// Steps 1. `None` if an outer write of this thread holds the key: then it is as good as held.
pub(crate) fn hold_key<'a>(
    engine: &'a Engine,
    keyspace: KeyspaceId,
    key: &[u8],
    stalled: &mut Stalled,
) -> Result<Option<HoldGuard<'a>>> {
    let caller = Caller::this();
    wait_for_hold(engine, stalled, || {
        let held = engine.in_section_with_earlier(|env, earlier| {
            // So that the read to come finds every version that others have written.
            earlier.wait()?;
            Ok(env.holds.hold(keyspace, key, caller))
        })?;
        Ok(match held {
            Held::Now(hold) => Some(Some(HoldGuard { engine, hold })),
            Held::ByThisThread => Some(None),
            Held::BySomebody => None,
        })
    })
}

/// Tries until `attempt` has an answer, each time that a hold has ended.
pub(crate) fn wait_for_hold<T>(
    engine: &Engine,
    stalled: &mut Stalled,
    attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let stall_max = engine.core.stall_max().unwrap_or_default();
    stalled.wait(stall_max, |patience| try_until_free(engine, patience, attempt))
}

fn try_until_free<T>(
    engine: &Engine,
    patience: Patience,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    loop {
        let seen = engine.core.gate.generation();
        engine.core.refuse_early()?;
        if let Some(answer) = attempt()? {
            return Ok(answer);
        }
        let Some(left) = patience.left() else {
            return Err(Error::KeyHeld { waited: patience.waited() });
        };
        engine.core.gate.wait_timeout(seen, left);
    }
}
