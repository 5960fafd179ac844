//! How a writer holds a key, and how others wait meanwhile: steps 1 and 4 of `holds`.

use std::time::Instant;

use crate::engine::Engine;
use crate::engine::threads::own::Caller;
use crate::engine::write::entry::HoldId;
use crate::engine::write::holds::Held;
use crate::error::{Error, Result};
use crate::ids::KeyspaceId;
use crate::options::OnOverload;

/// A hold, which ends with this.
pub(crate) struct HoldGuard<'a> {
    engine: &'a Engine,
    pub(crate) hold: HoldId,
}

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        self.engine.commit.with(|env, _| env.holds.list.retain(|it| it.id != self.hold));
        self.engine.core.gate.wake();
    }
}

impl Engine {
    /// Steps 1. `None` if an outer write of this thread holds the key: then it is as good as held.
    pub(crate) fn hold_key(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
    ) -> Result<Option<HoldGuard<'_>>> {
        let caller = Caller::this();
        let hold = || match self.commit.with(|env, _| env.holds.hold(keyspace, key, caller)) {
            Held::Now(hold) => Some(Some(HoldGuard { engine: self, hold })),
            Held::ByThisThread => Some(None),
            Held::BySomebody => None,
        };
        self.wait_for_hold(|| Ok(hold()))
    }

    /// Tries until `attempt` has an answer, each time that a hold has ended.
    pub(crate) fn wait_for_hold<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let seen = self.core.gate.generation();
            self.refuse_early()?;
            if let Some(answer) = attempt()? {
                return Ok(answer);
            }
            let waited = start.elapsed();
            let left = match self.core.options.on_overload {
                OnOverload::Pace { stall_max } if !self.core.is_own_thread() => {
                    stall_max.checked_sub(waited)
                }
                _ => None,
            };
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                return Err(Error::KeyHeld { waited });
            };
            self.core.gate.wait_timeout(seen, left);
        }
    }
}
