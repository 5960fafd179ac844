//! The list of holds and wishes, by itself.

use super::*;

const ID: KeyspaceId = KeyspaceId(0);

/// As many threads as are wanted, by their names.
fn callers<const N: usize>() -> [Caller; N] {
    [(); N].map(|()| std::thread::spawn(Caller::this).join().unwrap())
}

fn key(key: &[u8]) -> HoldClaim {
    HoldClaim::Key(ID, key.to_vec())
}

fn spans(keys: &[&[u8]]) -> HoldClaim {
    let mut spans = Spans::default();
    keys.iter().for_each(|key| spans.add_key(ID, key));
    HoldClaim::Spans(Arc::new(spans))
}

fn let_go(holds: &mut Holds, id: HoldId) {
    assert!(holds.let_go(id).is_some());
}

/// (I43)
#[test]
fn wishes_that_overlap_are_granted_in_their_order() {
    let [a, b, c, d] = callers();
    let mut holds = Holds::default();
    let first = holds.wish(key(b"k"), a).unwrap();
    assert!(holds.grant(first));
    let all = holds.wish(spans(&[b"k", b"m"]), b).unwrap();
    let last = holds.wish(key(b"m"), c).unwrap();
    let apart = holds.wish(key(b"x"), d).unwrap();
    assert!(!holds.grant(all), "one of its keys is held");
    assert!(!holds.grant(last), "it came later");
    assert!(holds.grant(apart), "it is in nobody's way");
    let_go(&mut holds, first);
    assert!(!holds.grant(last) && holds.grant(all));
    let everything = holds.wish(HoldClaim::Everything, a).unwrap();
    assert!(!holds.grant(everything), "two transactions");
    let_go(&mut holds, all);
    assert!(holds.grant(last));
    assert!(!holds.grant(everything), "keys are held");
    let_go(&mut holds, last);
    let_go(&mut holds, apart);
    assert!(holds.grant(everything));
    // Nobody has to wait for a wish that was given up.
    let given_up = holds.wish(spans(&[b"a"]), b).unwrap();
    let next = holds.wish(spans(&[b"b"]), c).unwrap();
    let_go(&mut holds, everything);
    let_go(&mut holds, given_up);
    assert!(holds.grant(next));
}

/// What runs inside of a hold does not wait for those who wait for that.
#[test]
fn a_wish_from_inside_of_a_hold_passes_those_that_only_wait() {
    let [a, b, c] = callers();
    let mut holds = Holds::default();
    let outer = holds.wish(key(b"k"), a).unwrap();
    assert!(holds.grant(outer));
    let waiting = holds.wish(HoldClaim::Everything, b).unwrap();
    assert!(!holds.grant(waiting));
    let inner = holds.wish(spans(&[b"k", b"m"]), a).unwrap();
    assert!(holds.grant(inner));
    let_go(&mut holds, outer);
    assert!(!holds.grant(waiting), "what was granted past it is in its way");
    assert!(holds.wish(key(b"m"), a).is_none(), "it is as good as held");
    let stranger = holds.wish(key(b"m"), c).unwrap();
    assert!(!holds.grant(stranger));
    let_go(&mut holds, inner);
    assert!(holds.grant(waiting));
}

#[test]
fn a_hold_grows_over_what_nobody_else_holds() {
    let [a, b] = callers();
    let mut holds = Holds::default();
    let mine = holds.wish(spans(&[b"a"]), a).unwrap();
    let other = holds.wish(key(b"k"), b).unwrap();
    assert!(holds.grant(mine) && holds.grant(other));
    let mut more = spans(&[b"a", b"k"]);
    assert!(!holds.widen(mine, &mut more));
    let_go(&mut holds, other);
    assert!(holds.widen(mine, &mut more));
    assert!(holds.spans(mine).unwrap().has_key(ID, b"k"));
    assert!(!more.has(ID, b"k"), "the one before is left in its place");
    let other = holds.wish(key(b"k"), b).unwrap();
    assert!(!holds.grant(other), "it is held now");
}
