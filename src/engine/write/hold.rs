//! How a writer holds keys, and how others wait meanwhile: steps 1 and 4 of `holds`.

use crate::engine::Engine;
use crate::engine::commit::entry::HoldId;
use crate::engine::commit::holds::HoldClaim;
use crate::engine::commit::section::WriteEnv;
use crate::engine::commit::spans::Spans;
use crate::engine::shared::own::Caller;
use crate::engine::shared::patience::{Patience, Stalled};
use crate::error::{Error, Result};
use crate::sync::Arc;

/// A hold, or the wish for one, which ends with this.
pub(crate) struct HoldGuard<'a> {
    engine: &'a Engine,
    pub(crate) hold: HoldId,
}

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        // In a forked child another thread of the parent's may be in the section for ever.
        if self.engine.core.is_forked() {
            return;
        }
        // After a panic in the section nobody commits, whatever is held.
        let gone = self.engine.in_section(|env, _| env.holds.let_go(self.hold));
        // Not in the section: there may be much of it.
        drop(gone);
        self.engine.core.gate.wake();
    }
}

/// Step 1. `None` if an outer write of this thread holds the key: then it is as good as held.
pub(crate) fn hold<'a>(
    engine: &'a Engine,
    claim: HoldClaim,
    stalled: &mut Stalled,
    give_way: &mut dyn FnMut(),
) -> Result<Option<HoldGuard<'a>>> {
    let caller = Caller::this();
    let wished = engine.in_section(|env, _| env.holds.wish(claim, caller))?;
    let Some(hold) = wished else { return Ok(None) };
    let guard = HoldGuard { engine, hold };
    wait_for_hold(engine, stalled, give_way, || {
        granted(engine, |env| env.holds.grant(hold)).map(|granted| granted.then_some(()))
    })?;
    Ok(Some(guard))
}

impl HoldGuard<'_> {
    /// Has a transaction's hold cover all that it has read.
    pub(crate) fn widen(
        &self,
        reads: &Spans,
        stalled: &mut Stalled,
        give_way: &mut dyn FnMut(),
    ) -> Result<()> {
        let covers = self.engine.in_section(|env, _| env.holds.spans(self.hold))?;
        // Everything, else.
        let Some(mut covers) = covers else { return Ok(()) };
        Arc::make_mut(&mut covers).add_all(reads);
        let mut claim = HoldClaim::Spans(covers);
        wait_for_hold(self.engine, stalled, give_way, || {
            let widened = granted(self.engine, |env| env.holds.widen(self.hold, &mut claim));
            widened.map(|widened| widened.then_some(()))
        })
    }
}

/// Whether `grant` does, in the section.
fn granted(engine: &Engine, grant: impl FnOnce(&mut WriteEnv) -> bool) -> Result<bool> {
    engine.in_section_with_earlier(|env, earlier| {
        let granted = grant(env);
        if granted {
            // So that the read to come finds every version that others have written.
            earlier.wait()?;
        }
        Ok(granted)
    })
}

/// Tries until `attempt` has an answer, each time that a hold has ended. Calls `give_way` before it
/// sleeps.
pub(crate) fn wait_for_hold<T>(
    engine: &Engine,
    stalled: &mut Stalled,
    give_way: &mut dyn FnMut(),
    attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let stall_max = engine.core.stall_max().unwrap_or_default();
    stalled.wait(stall_max, |patience| try_until_free(engine, patience, give_way, attempt))
}

fn try_until_free<T>(
    engine: &Engine,
    patience: Patience,
    give_way: &mut dyn FnMut(),
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
        give_way();
        engine.core.gate.wait_timeout(seen, left);
    }
}
