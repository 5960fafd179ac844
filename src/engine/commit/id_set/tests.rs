//! Ids that come and go in any order.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_set_of_ids_is_a_set_and_takes_one_entry_for_each_stretch() {
    let check = |ids: &[u32], stretches: usize| {
        let mut set = IdSet::default();
        let mut model = BTreeSet::new();
        for &id in ids {
            set.insert(KeyspaceId(id));
            model.insert(id);
            let near = |id: u32| [id.wrapping_sub(1), id, id.wrapping_add(1)];
            for id in ids.iter().flat_map(|&id| near(id)) {
                assert_eq!(set.contains(KeyspaceId(id)), model.contains(&id), "{id} of {ids:?}");
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
