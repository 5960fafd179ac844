//! [`KeyRange`]: the ranges of keys that a caller may write down, turned into bounds.
//!
//! Pure conversions, called once when an iterator is opened; and how an iterator moves its
//! bounds.

use std::mem;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// Where a range of keys begins and ends.
pub(crate) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A range of keys: `..`, `a..b`, `a..=b`, `a..`, `..b`, `..=b`, or a pair of [`Bound`]s, for any
/// key type that is bytes: `&str`, `&[u8]`, `Vec<u8>`, `String`, [`Value`](crate::Value).
///
/// A range that ends before it begins is empty; that is no error.
///
/// A trait of its own, because [`std::ops::RangeBounds`] would leave the key type of `..` open, and
/// would want it written out at each call.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// use std::ops::Bound;
///
/// for key in ["a", "b", "c"] {
///     db.put(key, "")?;
/// }
/// let after_a = (Bound::Excluded("a"), Bound::Unbounded);
/// assert_eq!((db.range("a"..="b").count(), db.range(after_a).count()), (2, 2));
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait KeyRange {
    /// The first and the last key, each either in or out.
    fn into_bounds(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>);
}

fn owned(key: impl AsRef<[u8]>) -> Vec<u8> {
    key.as_ref().to_vec()
}

impl KeyRange for RangeFull {
    fn into_bounds(self) -> Bounds {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for Range<K> {
    fn into_bounds(self) -> Bounds {
        (Bound::Included(owned(self.start)), Bound::Excluded(owned(self.end)))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeInclusive<K> {
    fn into_bounds(self) -> Bounds {
        let (start, end) = self.into_inner();
        (Bound::Included(owned(start)), Bound::Included(owned(end)))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeFrom<K> {
    fn into_bounds(self) -> Bounds {
        (Bound::Included(owned(self.start)), Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeTo<K> {
    fn into_bounds(self) -> Bounds {
        (Bound::Unbounded, Bound::Excluded(owned(self.end)))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeToInclusive<K> {
    fn into_bounds(self) -> Bounds {
        (Bound::Unbounded, Bound::Included(owned(self.end)))
    }
}

impl<K: AsRef<[u8]>> KeyRange for (Bound<K>, Bound<K>) {
    fn into_bounds(self) -> Bounds {
        (self.0.map(owned), self.1.map(owned))
    }
}

/// The bounds of the keys that begin with `prefix`.
pub(crate) fn prefix_bounds(prefix: &[u8]) -> Bounds {
    // The first key past them is the prefix with its last byte raised; a byte that cannot be raised
    // goes, since nothing of its length lies beyond it.
    let mut past = prefix.to_vec();
    while past.last() == Some(&u8::MAX) {
        past.pop();
    }
    let end = match past.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(past)
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(prefix.to_vec()), end)
}

/// The same keys as from the first of two to before the second, or to the end.
pub(crate) fn half_open((start, end): Bounds) -> (Vec<u8>, Option<Vec<u8>>) {
    let after = |mut key: Vec<u8>| {
        key.push(0);
        key
    };
    let start = match start {
        Bound::Included(key) => key,
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Vec::new(),
    };
    let end = match end {
        Bound::Included(key) => Some(after(key)),
        Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    };
    (start, end)
}

/// The key of a bound; the first one of all where there is no bound.
pub(super) fn key_of(bound: &Bound<Vec<u8>>) -> &[u8] {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => &[],
    }
}

/// Makes `bound` exclude `key`, in the memory that it has, and returns its copy of the key.
pub(super) fn exclude<'a>(bound: &'a mut Bound<Vec<u8>>, key: &[u8]) -> &'a [u8] {
    *bound = Bound::Excluded(copy_into(bound, key));
    match bound {
        Bound::Excluded(buffer) => buffer,
        _ => unreachable!("the line above made it Excluded"),
    }
}

/// Makes a bound that excludes a key include it.
pub(super) fn include(bound: &mut Bound<Vec<u8>>) {
    if let Bound::Excluded(key) = bound {
        *bound = Bound::Included(mem::take(key));
    }
}

/// A copy of `key` in the memory of `bound`, which is left unbounded.
pub(super) fn copy_into(bound: &mut Bound<Vec<u8>>, key: &[u8]) -> Vec<u8> {
    let mut buffer = match mem::replace(bound, Bound::Unbounded) {
        Bound::Included(buffer) | Bound::Excluded(buffer) => buffer,
        Bound::Unbounded => Vec::new(),
    };
    buffer.clear();
    buffer.extend_from_slice(key);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_range() {
        #[track_caller]
        fn check(range: impl KeyRange, want: (Bound<&str>, Bound<&str>)) {
            let want = (want.0.map(owned), want.1.map(owned));
            assert_eq!(range.into_bounds(), want);
        }
        use Bound::{Excluded, Included, Unbounded};
        check(.., (Unbounded, Unbounded));
        check("a".."m", (Included("a"), Excluded("m")));
        check("a"..="m", (Included("a"), Included("m")));
        check("a".., (Included("a"), Unbounded));
        check(.."m", (Unbounded, Excluded("m")));
        check(..="m", (Unbounded, Included("m")));
        check("m".."a", (Included("m"), Excluded("a")));
        check(b"a".to_vec().., (Included("a"), Unbounded));
        check(&b"a".to_vec()..&b"m".to_vec(), (Included("a"), Excluded("m")));
        check(b"a".as_slice()..b"mm".as_slice(), (Included("a"), Excluded("mm")));
        check(*b"a"..=*b"m", (Included("a"), Included("m")));
        check(..String::from("m"), (Unbounded, Excluded("m")));
        check((Excluded("a"), Unbounded), (Excluded("a"), Unbounded));
        check((Excluded(vec![b'a']), Included(vec![b'm'])), (Excluded("a"), Included("m")));
    }

    #[test]
    fn a_prefix_ends_at_the_next_prefix_of_its_length_or_shorter() {
        #[track_caller]
        fn check(prefix: &[u8], end: Option<&[u8]>) {
            let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.to_vec()));
            assert_eq!(prefix_bounds(prefix), (Bound::Included(prefix.to_vec()), end));
        }
        check(b"", None);
        check(b"a", Some(b"b"));
        check(b"a\xfe", Some(b"a\xff"));
        check(b"a\xff", Some(b"b"));
        check(b"a\xff\xff\xff", Some(b"b"));
        check(b"\xff", None);
        check(b"\xff\xff", None);
        check(b"\0", Some(b"\x01"));
    }
}
