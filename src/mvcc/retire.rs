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
/// No `Weak` of a retired value may ever be upgraded: that could bring the value back after it was
/// collected.
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

/// Segments that the current set has no more, and the files that it has none over.
///
/// A file: 1. publish the set without it; 2. put it here with its segment; 3. collect the segments,
/// then the files; 4. remove those that come out.
///
/// A reader that can read from a file has a segment over it, by a view or by itself, and all
/// segments over it share one `F`: so its count alone says that there is none.
#[derive(Debug)]
pub(crate) struct RetiredFiles<S, F> {
    segments: Retired<S>,
    files: Retired<F>,
}

impl<S, F> RetiredFiles<S, F> {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self { segments: Retired::new(), files: Retired::new() }
    }

    /// Keeps a segment whose file another segment of the current set is over.
    pub(crate) fn retire(&mut self, segment: Arc<S>, now_ms: u64) {
        self.segments.push(segment, now_ms);
    }

    /// Keeps a segment together with its file.
    pub(crate) fn retire_with_file(&mut self, segment: Arc<S>, file: Arc<F>, now_ms: u64) {
        self.files.push(file, now_ms);
        self.segments.push(segment, now_ms);
    }

    /// Takes out the files that nobody can read from any more.
    pub(crate) fn collect(&mut self, now_ms: u64) -> Vec<Arc<F>> {
        // First: they have the files.
        drop(self.segments.collect(now_ms, 0));
        self.files.collect(now_ms, 0)
    }

    /// The segments that someone may still have.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<S>> {
        self.segments.iter()
    }

    /// The files that are still there.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<F>> {
        self.files.iter()
    }
}

fn address<T>(value: &Arc<T>) -> usize {
    std::ptr::from_ref(&**value).addr()
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
