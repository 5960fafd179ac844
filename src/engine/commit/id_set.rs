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
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_set_of_ids_is_a_set_and_takes_one_entry_for_each_stretch() {
        let check = |ids: &[u32], stretches: usize| {
            let (mut set, mut model) = (IdSet::default(), BTreeSet::new());
            for &id in ids {
                set.insert(KeyspaceId(id));
                model.insert(id);
                let near = |id: u32| [id.wrapping_sub(1), id, id.wrapping_add(1)];
                for id in ids.iter().flat_map(|&id| near(id)) {
                    assert_eq!(
                        set.contains(KeyspaceId(id)),
                        model.contains(&id),
                        "{id} of {ids:?}"
                    );
                }
            }
            assert_eq!((set.stretches(), set.is_empty()), (stretches, ids.is_empty()), "{ids:?}");
        };
        check(&[], 0);
        check(&[1, 2, 3, 4], 1);
        check(&[4, 3, 2, 1], 1);
        check(&[1, 3, 5, 7], 4);
        check(&[1, 5, 3, 2, 4, 2, 5], 1);
        check(&[7, 1, 2, 8, 4], 3);
        check(&[0, u32::MAX, u32::MAX - 1, 1], 2);
    }
}
