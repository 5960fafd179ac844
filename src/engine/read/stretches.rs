//! Remembering the dead keys that an iterator has walked over, on its thread. The protocol is that
//! of `mvcc::stretches`; what is written cuts them in `section`.

use crate::engine::Engine;
use crate::format::key::{Kind, Position};
use crate::ids::Sequence;
use crate::iter::Cursor;
use crate::iter::stretch::{Dead, Edge, KeySpan, Way};
use crate::memtable::Memtable;
use crate::mvcc::stretches::{Book, RememberEnv, Stretches, remember};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// How often a scan looks whether what is being inserted has become visible.
const LOOKS: usize = 200;

/// Remembers that a view which begins with `newest` has no live key where `dead` is at `since`.
#[cold]
pub(crate) fn remember_dead(engine: &Engine, newest: &Arc<Memtable>, dead: &Dead, since: Sequence) {
    // If it cannot now, the next scan will.
    let _ = remember(&Walked { engine, newest }, &dead.span, dead.keys, since);
}

/// Counts the jumps of an iterator that goes, for `stats()`: then, so that no draw has to.
pub(crate) fn count_jumps(engine: &Engine, jumps: u64) {
    if jumps > 0 {
        engine.core.counters.stretch_jumps.fetch_add(jumps, Ordering::Relaxed);
    }
}

/// The memtable that a scan found in front.
struct Walked<'a> {
    engine: &'a Engine,
    newest: &'a Arc<Memtable>,
}

impl RememberEnv<KeySpan> for Walked<'_> {
    fn try_enter<R>(
        &self,
        f: impl FnOnce(&mut Book<KeySpan>, &Stretches<KeySpan>, Sequence) -> R,
    ) -> Option<R> {
        let entered = self.engine.try_in_section(|env, _| {
            let active = Arc::ptr_eq(env.tail.memtable.table(), self.newest);
            active.then(|| f(&mut env.tail.stretches, self.newest.stretches(), env.appended))
        });
        entered.flatten()
    }

    fn is_visible(&self, last: Sequence) -> bool {
        // What was in the section before is past its append, and has its insert to do.
        let mut looks = (0..LOOKS).inspect(|_| std::hint::spin_loop());
        looks.any(|_| self.engine.visible() >= last)
    }

    fn written_since(&self, span: &KeySpan, since: Sequence) -> bool {
        let keyspace = span.keyspace;
        let mut to = Vec::new();
        let mut cursor = self.newest.cursor();
        let mut moved = cursor.seek(Position::first(keyspace, &span.from));
        // A cursor on a memtable never fails, and what fails is not remembered.
        while moved.is_ok()
            && let Some(entry) = cursor.entry()
            && (entry.keyspace, entry.key) < (keyspace, &span.to)
        {
            if entry.sequence > since && entry.kind == Kind::Value {
                return true;
            }
            // What is remembered already is watched already.
            let edge = Edge { keyspace, key: entry.key, after: false };
            moved = match cursor.stretch(Way::Forward, edge, since, &mut to) {
                true => cursor.seek(Position::first(keyspace, &to)),
                false => cursor.next(),
            };
        }
        moved.is_err()
    }
}

#[cfg(test)]
mod tests;
