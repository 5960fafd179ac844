//! The index of the memtable being written: a skiplist over records in an arena.
//!
//! Writers insert side by side, each into a room that it got in the commit section; any number of
//! readers on any thread never wait. It is `crossbeam_skiplist::base` 0.1.3, used insert-only with
//! unique keys, because that release loses reads when a key is overwritten and leaks nodes out of
//! `range`. So no node is ever retired before the whole list is dropped, and every guard can be the
//! unprotected one: there is nothing to protect.
//!
//! # A record in the arena
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | key length (in the node) | the key |
//! | + 0 | 1 | the kind |
//! | + 1 | 4 | the value's length, little-endian |
//! | + 5 | value length | the value |

#![allow(unsafe_code, reason = "nodes point at records, so that a lookup allocates nothing")]

use std::cmp::Ordering;
use std::ops::Bound;
use std::slice;

use crossbeam_epoch::Guard;
use crossbeam_skiplist::base::SkipList;

use super::arena::{Arena, Room};
use crate::format::batch::Op;
use crate::format::key::{Entry, KeyWords, Kind, Position};
use crate::ids::{KeyspaceId, Sequence};
use crate::prefetch::prefetch;

/// How many cache lines of a record are fetched ahead: a key, its head, and 100 bytes of value.
const PREFETCH_LINES: usize = 3;

/// How many key bytes a node holds itself, in two words.
const PREFIX_BYTES: usize = 16;

/// Bytes between a record's key and its value.
const HEAD_BYTES: usize = 5;

/// What an entry costs beside its record, in bytes.
///
/// A list node is 48 bytes (40 of key, 8 of count and height) and two links on average, 74 after
/// glibc's rounding to 16 bytes with a header of 8. Ten bits of filter make it 75.
pub(super) const NODE_BYTES: usize = 75;

/// What an entry costs beyond its key and value, in bytes.
pub(super) const ENTRY_OVERHEAD: usize = NODE_BYTES + HEAD_BYTES;

/// The length of an operation's record.
pub(super) fn record_bytes(op: &Op<'_>) -> usize {
    op.key.len() + HEAD_BYTES + op.value.len()
}

/// A key in the list: one version of one user key, ordered by its first words before its memory is
/// touched.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// The first eight bytes of the key, big-endian, padded with zeros; then the next eight.
    high: u64,
    low: u64,
    sequence: u64,
    /// The key: in a listed node at the start of its record, in a probe wherever the caller has it.
    key: *const u8,
    keyspace: u32,
    key_len: u32,
}

// On 32-bit machines it is smaller, and `NODE_BYTES` counts more than an entry takes.
const _: () = assert!(size_of::<Node>() == 40 || cfg!(not(target_pointer_width = "64")));

// SAFETY: a listed node points at arena bytes that were complete before it was linked and never
// change after; a probe stays on its caller's stack.
unsafe impl Send for Node {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Node {}

impl Node {
    /// A node for `target`, pointing at its key.
    pub(super) fn new(target: Position<'_>) -> Self {
        let KeyWords { keyspace, high, low } = KeyWords::new(target.keyspace, target.key);
        Self {
            high,
            low,
            sequence: target.sequence.0,
            key: target.key.as_ptr(),
            keyspace,
            // Stored keys are far shorter, so a range bound beyond 4 GiB compares the same when
            // cut.
            key_len: u32::try_from(target.key.len()).unwrap_or(u32::MAX),
        }
    }

    /// The start of the key, without a look at its memory.
    pub(super) fn words(&self) -> KeyWords {
        KeyWords { keyspace: self.keyspace, high: self.high, low: self.low }
    }

    /// Has the start of the record brought near, for the next to come to it: in a merge of many
    /// tables that is some steps later.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.key.addr(), PREFETCH_LINES);
    }

    fn key(&self) -> &[u8] {
        // SAFETY: `new` took the pointer and at most the length of a slice; the arena keeps a
        // listed node's bytes as long as the list, and a probe is not used after the call it was
        // made in.
        unsafe { slice::from_raw_parts(self.key, self.key_len as usize) }
    }

    /// The order of the keys, given that their prefix words are equal.
    fn compare_rest(&self, other: &Self) -> Ordering {
        if self.key_len.min(other.key_len) as usize <= PREFIX_BYTES {
            // The shorter key is a prefix of the longer one: they differ by zero bytes at most.
            return self.key_len.cmp(&other.key_len);
        }
        self.key()[PREFIX_BYTES..].cmp(&other.key()[PREFIX_BYTES..])
    }

    fn compare_keys(&self, other: &Self) -> Ordering {
        let words = |node: &Self| (node.keyspace, node.high, node.low);
        words(self).cmp(&words(other)).then_with(|| self.compare_rest(other))
    }

    /// The whole version.
    ///
    /// # Safety
    ///
    /// `self` was copied out of a list whose arena outlives `'a`.
    pub(super) unsafe fn entry<'a>(&self) -> Entry<'a> {
        // SAFETY: `Active::insert` stored a key of this length, a head, and a value of the length
        // in the head, one after the other, where the caller promises they still are.
        unsafe {
            let key = slice::from_raw_parts(self.key, self.key_len as usize);
            let head = self.key.add(key.len());
            let value_len = u32::from_le_bytes(head.add(1).cast::<[u8; 4]>().read());
            Entry {
                keyspace: KeyspaceId(self.keyspace),
                key,
                sequence: Sequence(self.sequence),
                kind: Kind::from_byte(head.read()).expect("insert stored the number of a kind"),
                value: slice::from_raw_parts(head.add(HEAD_BYTES), value_len as usize),
            }
        }
    }
}

impl Ord for Node {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_keys(other).then_with(|| other.sequence.cmp(&self.sequence))
    }
}

impl PartialOrd for Node {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Node {}

impl PartialEq for Node {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // The sequence first: it settles nearly every case without the key.
        self.sequence == other.sequence && self.compare_keys(other).is_eq()
    }
}

pub(super) type List = SkipList<Node, ()>;

/// The guard that every use of a list takes.
pub(super) fn guard() -> &'static Guard {
    // SAFETY: lists here are insert-only, so no node is unlinked or freed while the list is
    // borrowed, and no destructor is ever deferred through the guard.
    unsafe { crossbeam_epoch::unprotected() }
}

/// The skiplist and the memory its nodes point into.
pub(super) struct Active {
    pub(super) list: List,
    arena: Arena,
}

impl Active {
    /// An empty index over `arena`.
    pub(super) fn new(arena: Arena) -> Self {
        Self { list: SkipList::new(crossbeam_epoch::default_collector().clone()), arena }
    }

    /// See [`Arena::give_back_unused`].
    pub(super) fn give_back_unused(&self) {
        self.arena.give_back_unused();
    }

    /// Adds a version that is not there yet. The list publishes it with a release store, and
    /// readers who see a later `visible` see it for certain.
    pub(super) fn insert(&self, room: &mut Room, op: Op<'_>, sequence: Sequence) {
        let value_len = u32::try_from(op.value.len()).expect("callers refuse over 1 GiB");
        let mut head = [op.kind as u8; HEAD_BYTES];
        head[1..].copy_from_slice(&value_len.to_le_bytes());
        let key = room.store(&self.arena, &[op.key, &head, op.value]);
        let position = Position { keyspace: op.keyspace, key: op.key, sequence };
        let node = Node { key, ..Node::new(position) };
        // The entry handed back has no destructor. Not releasing it leaves the node's count one too
        // high, which nobody reads: the list's own drop frees every node regardless. It saves an
        // atomic.
        let listed = self.list.get_or_insert(node, (), guard());
        debug_assert!(listed.key().key == key, "each version is inserted once");
    }

    /// The first version at or after `target`.
    #[inline]
    pub(super) fn lower_bound(&self, target: Position<'_>) -> Option<Entry<'_>> {
        let found = self.list.lower_bound(Bound::Included(&Node::new(target)), guard())?;
        // SAFETY: the node is in the list of `self`, which holds the arena and is borrowed.
        Some(unsafe { found.key().entry() })
    }

    /// The first version.
    pub(super) fn first(&self) -> Option<Entry<'_>> {
        let found = self.list.front(guard())?;
        // SAFETY: as in `lower_bound`.
        Some(unsafe { found.key().entry() })
    }

    /// The last version.
    pub(super) fn last(&self) -> Option<Entry<'_>> {
        let found = self.list.back(guard())?;
        // SAFETY: as in `lower_bound`.
        Some(unsafe { found.key().entry() })
    }
}
