//! Superseded values, kept until nobody else holds them.
//!
//! Readers take the published view without telling anyone, and must not be the ones who free it:
//! freeing a memtable or closing a file takes time. So a thread that replaces a value puts the old
//! one here, and one background thread, which owns the list, drops the last references. The caller
//! brings the time; there is no clock here.

use std::collections::HashSet;

use crate::sync::Arc;

/// Values that were replaced, oldest first.
///
/// A value leaves when the list holds its only reference, and a grace period has passed since it
/// came. The count alone would do if no load could lie between reading the cell and counting
/// itself; the grace covers that, and an updater that still holds the view it derived from.
///
/// No `Weak` of a retired value may exist: it could bring the value back after it was collected.
#[derive(Debug)]
pub(crate) struct Retired<T> {
    values: Vec<RetiredValue<T>>,
    /// Where they lie: a value that is here is known at once, however many there are.
    addresses: HashSet<usize>,
}

#[derive(Debug)]
struct RetiredValue<T> {
    value: Arc<T>,
    since_ms: u64,
}

impl<T> Retired<T> {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), addresses: HashSet::new() }
    }

    /// Keeps `value`, which was replaced at `now_ms` of the caller's clock, unless it is here
    /// already: two entries would wait for each other.
    pub(crate) fn push(&mut self, value: Arc<T>, now_ms: u64) {
        if self.addresses.insert(address(&value)) {
            self.values.push(RetiredValue { value, since_ms: now_ms });
        }
    }

    /// Takes out what nobody else holds and is at least `grace_ms` old, oldest first. A clock that
    /// goes backwards makes values stay longer.
    pub(crate) fn collect(&mut self, now_ms: u64, grace_ms: u64) -> Vec<Arc<T>> {
        let unreachable = |entry: &mut RetiredValue<T>| {
            Arc::strong_count(&entry.value) == 1
                && now_ms.saturating_sub(entry.since_ms) >= grace_ms
        };
        let values = self.values.extract_if(.., unreachable).map(|entry| entry.value);
        let values: Vec<_> = values.collect();
        for value in &values {
            self.addresses.remove(&address(value));
        }
        values
    }

    /// The values that someone may still be reading: with the published one, all that are live.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.values.iter().map(|entry| &entry.value)
    }
}

fn address<T>(value: &Arc<T>) -> usize {
    std::ptr::from_ref(&**value).addr()
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
