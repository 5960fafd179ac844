//! The list step by step; `models.rs` has the interleavings.

use super::*;

#[test]
fn one_turn_is_asked_for_until_it_begins() {
    let list = WaitingList::new();
    assert_eq!(list.begin_turn(), None, "nobody waits");
    assert_eq!(list.join(LogPosition(5), 'a'), Joined::Ask);
    assert_eq!(list.join(LogPosition(9), 'b'), Joined::Waits);
    assert_eq!(list.join(LogPosition(7), 'c'), Joined::Waits);
    assert_eq!(list.begin_turn(), Some(LogPosition(9)));
    // The sync may have begun before this was appended.
    assert_eq!(list.join(LogPosition(12), 'd'), Joined::Ask);
    let told = list.take_covered(LogPosition(9), 9);
    let told: Vec<_> = told.into_iter().map(|(position, who)| (position.0, who)).collect();
    assert_eq!(told, [(5, 'a'), (9, 'b'), (7, 'c')]);
    assert_eq!(list.take_covered(LogPosition(11), 9), []);
    assert_eq!(list.begin_turn(), Some(LogPosition(12)));
}

/// I44.
#[test]
fn the_end_leaves_nobody_on_the_list() {
    let list = WaitingList::new();
    assert_eq!(list.join(LogPosition(5), 'a'), Joined::Ask);
    assert_eq!(list.begin_turn(), Some(LogPosition(5)));
    // The sync has panicked: nobody was taken off.
    assert_eq!(list.end(), [(LogPosition(5), 'a')]);
    assert_eq!(list.join(LogPosition(6), 'b'), Joined::Over('b'));
    assert_eq!(list.end(), []);
}
