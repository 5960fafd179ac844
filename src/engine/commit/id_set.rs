//! A set of keyspace ids that takes what its gaps take: ids that follow each other are one entry.

use std::collections::BTreeMap;

use crate::ids::KeyspaceId;

/// Ids that are given out once, and leave one by one: what is dropped grows together, so there are
/// at most as many entries as ids that stay, and one.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    /// First and last of each stretch of ids; no two touch.
    stretches: BTreeMap<u32, u32>,
}

impl IdSet {
    pub(crate) fn insert(&mut self, KeyspaceId(id): KeyspaceId) {
        if self.contains(KeyspaceId(id)) {
            return;
        }
        let before = self.stretches.range(..id).next_back();
        let first = match before {
            Some((&first, &last)) if last.checked_add(1) == Some(id) => first,
            _ => id,
        };
        let next = id.checked_add(1).and_then(|next| self.stretches.remove(&next));
        self.stretches.insert(first, next.unwrap_or(id));
    }

    #[inline]
    pub(crate) fn contains(&self, KeyspaceId(id): KeyspaceId) -> bool {
        let before = self.stretches.range(..=id).next_back();
        before.is_some_and(|(_, &last)| id <= last)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// How many stretches there are.
    #[cfg(test)]
    pub(crate) fn stretches(&self) -> usize {
        self.stretches.len()
    }
}

#[cfg(test)]
mod tests;
