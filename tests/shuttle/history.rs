//! What was written and read, and whether one order explains it.
//!
//! Every write has a number, which is its value, and learns its sequence when it is acknowledged;
//! the sequences are the order (G4). A read is right if the state after some write of that order is
//! what it saw: no earlier than the last one acknowledged before the read began.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use alluvium::{Sequence, Value};

pub(crate) type Key = (&'static str, u8);

/// What a write does to a key: its number for a value, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Put,
    Delete,
}

#[derive(Clone, Debug)]
struct Write {
    effects: Vec<(Key, Effect)>,
    /// Events, counted over the run.
    begun: u64,
    acknowledged: Option<(u64, Sequence)>,
}

/// A key and the number of the write whose value it had.
pub(crate) type Seen = (Key, Option<u64>);

#[derive(Clone, Debug)]
struct Read {
    begun: u64,
    ended: u64,
    /// For a snapshot's.
    at: Option<Sequence>,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug, Default)]
struct Events {
    count: u64,
    writes: Vec<Write>,
    reads: Vec<Read>,
    /// All up to here is durable.
    durable: Sequence,
    /// What a counter was raised to, and when.
    counts: BTreeMap<Sequence, u64>,
    /// When a key that is inserted and deleted in turns was inserted (`true`) and deleted.
    turns: BTreeMap<Sequence, bool>,
}

/// Kept by the threads of a run. The system's mutex: held for a look, never across a switch.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Events>);

impl Events {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The last sequence acknowledged before an event.
    fn acknowledged_before(&self, event: u64) -> Sequence {
        let acknowledged = self.writes.iter().filter_map(|write| write.acknowledged);
        let before = acknowledged.filter(|(at, _)| *at < event).map(|(_, sequence)| sequence);
        before.max().unwrap_or_default()
    }
}

impl History {
    /// A moment, to be compared with others.
    pub(crate) fn now(&self) -> u64 {
        self.0.lock().unwrap().next()
    }

    /// Begins a write. Returns its number.
    pub(crate) fn begin(&self, effects: &[(Key, Effect)]) -> u64 {
        let mut events = self.0.lock().unwrap();
        let begun = events.next();
        events.writes.push(Write { effects: effects.to_vec(), begun, acknowledged: None });
        events.writes.len() as u64 - 1
    }

    /// Takes a write back that has changed nothing.
    pub(crate) fn undo(&self, number: u64) {
        self.0.lock().unwrap().writes[number as usize].effects.clear();
    }

    pub(crate) fn acknowledge(&self, number: u64, sequence: Sequence) {
        let mut events = self.0.lock().unwrap();
        let at = events.next();
        events.writes[number as usize].acknowledged = Some((at, sequence));
    }

    /// What has been acknowledged by now, as a promise that may be given.
    pub(crate) fn acknowledged(&self) -> Sequence {
        let mut events = self.0.lock().unwrap();
        let now = events.next();
        events.acknowledged_before(now)
    }

    /// Notes that everything up to a sequence is durable.
    pub(crate) fn durable(&self, sequence: Sequence) {
        let mut events = self.0.lock().unwrap();
        events.durable = events.durable.max(sequence);
    }

    pub(crate) fn read(&self, begun: u64, at: Option<Sequence>, seen: Vec<Seen>) {
        let mut events = self.0.lock().unwrap();
        let ended = events.next();
        events.reads.push(Read { begun, ended, at, seen });
    }

    pub(crate) fn count(&self, count: u64, sequence: Sequence) {
        let other = self.0.lock().unwrap().counts.insert(sequence, count);
        assert_eq!(other, None, "two updates have one sequence (I1)");
    }

    pub(crate) fn inserted(&self, sequence: Sequence) {
        self.0.lock().unwrap().turns.insert(sequence, true);
    }

    pub(crate) fn deleted(&self, sequence: Sequence) {
        self.0.lock().unwrap().turns.insert(sequence, false);
    }

    /// Whether each update found what the one before it left, and each insertion nothing (I27).
    pub(crate) fn check_counts(&self, raised: u64) {
        let events = self.0.lock().unwrap();
        let counts: Vec<u64> = events.counts.values().copied().collect();
        assert_eq!(counts, (1..=raised).collect::<Vec<_>>(), "in the order of the sequences");
        let turns = events.turns.values().enumerate();
        assert!(turns.clone().all(|(at, &inserted)| inserted == (at % 2 == 0)), "{turns:?}");
    }

    /// Whether every read is explained, where no write has failed.
    pub(crate) fn check_reads(&self) {
        let events = self.0.lock().unwrap().clone();
        let order = Order::new(&events);
        for read in &events.reads {
            let least = events.acknowledged_before(read.begun);
            let fits = |at: Sequence| order.shows(at, &read.seen);
            let fine = match read.at {
                Some(at) => at >= least && fits(at),
                None => order.ends_between(least, read.ended, &events).into_iter().any(fits),
            };
            assert!(fine, "{read:?} with {least:?} acknowledged is no state of {order:?}");
        }
    }

    /// The state after all that was acknowledged, where no write has failed.
    pub(crate) fn check_final(&self, seen: &[Seen]) {
        let events = self.0.lock().unwrap().clone();
        let order = Order::new(&events);
        let last = order.ends.iter().max().copied().unwrap_or_default();
        assert!(order.shows(last, seen), "{seen:?} is not the end of {order:?}");
    }

    /// Whether what a crash has left is a prefix with all that was durable, or, where only the
    /// process has died, with all that was acknowledged. A write that was not acknowledged is in or
    /// out, whole, and after all that was acknowledged before it began.
    pub(crate) fn check_survivors(&self, seen: &[Seen], only_process: bool) {
        let events = self.0.lock().unwrap().clone();
        let order = Order::new(&events);
        let open = |number: u64| events.writes[number as usize].acknowledged.is_none();
        let mut least = events.durable;
        if only_process {
            least = least.max(events.acknowledged_before(u64::MAX));
        }
        let found: BTreeSet<u64> = seen.iter().filter_map(|(_, value)| *value).collect();
        let found_open: Vec<u64> = found.into_iter().filter(|number| open(*number)).collect();
        for number in &found_open {
            least = least.max(events.acknowledged_before(events.writes[*number as usize].begun));
        }
        // What a key may have instead of what the order says.
        let by_open = |(key, value): &Seen| match value {
            Some(number) => open(*number),
            None => events.writes.iter().any(|write| {
                write.acknowledged.is_none() && write.effects.contains(&(*key, Effect::Delete))
            }),
        };
        let fits = |at: &Sequence| {
            *at >= least && seen.iter().all(|seen| by_open(seen) || order.shows(*at, &[*seen]))
        };
        let start = Sequence(0);
        let prefix = order.ends.iter().chain([&start]).find(|at| fits(at));
        assert!(
            prefix.is_some(),
            "{seen:?} is no prefix from {least:?} on of {order:?} (open: {found_open:?})"
        );
        for number in found_open {
            events.check_whole(number, seen, open);
        }
    }
}

impl Events {
    /// Of a write that is found and was not acknowledged: no key has what was there before it.
    fn check_whole(&self, number: u64, seen: &[Seen], open: impl Fn(u64) -> bool) {
        let write = &self.writes[number as usize];
        let before = self.acknowledged_before(write.begun);
        for (key, effect) in &write.effects {
            let Some((_, value)) = seen.iter().find(|(of, _)| of == key) else { continue };
            let newer = value.is_some_and(|other| {
                let other_at = self.writes[other as usize].acknowledged;
                open(other) || other_at.is_some_and(|(_, sequence)| sequence > before)
            });
            let absent = value.is_none()
                && (*effect == Effect::Delete
                    || self.writes.iter().any(|write| {
                        write.effects.contains(&(*key, Effect::Delete))
                            && write.acknowledged.is_none_or(|(_, sequence)| sequence > before)
                    }));
            assert!(newer || absent, "write {number} is torn: {write:?} in {seen:?}");
        }
    }
}

/// The writes by their place.
#[derive(Debug, Default)]
struct Order {
    /// For each key, what it has from a sequence on.
    versions: BTreeMap<Key, BTreeMap<Sequence, Option<u64>>>,
    /// Where writes end: a batch is seen whole.
    ends: BTreeSet<Sequence>,
}

impl Order {
    fn new(events: &Events) -> Self {
        let mut order = Self::default();
        order.ends.insert(Sequence(0));
        for (number, write) in events.writes.iter().enumerate() {
            let Some((_, end)) = write.acknowledged else { continue };
            order.ends.insert(end);
            for (key, effect) in &write.effects {
                let value = (*effect == Effect::Put).then_some(number as u64);
                let other = order.versions.entry(*key).or_default().insert(end, value);
                assert!(other.is_none(), "two writes of {key:?} have the sequence {end:?} (I1)");
            }
        }
        order
    }

    /// The states that a read may show: from what was acknowledged before it to what had begun.
    fn ends_between(&self, least: Sequence, ended: u64, events: &Events) -> Vec<Sequence> {
        let begun = events.writes.iter().filter(|write| write.begun < ended);
        let most = begun.filter_map(|write| write.acknowledged).map(|(_, at)| at).max();
        self.ends.range(least..=most.unwrap_or_default().max(least)).copied().collect()
    }

    fn shows(&self, at: Sequence, seen: &[Seen]) -> bool {
        seen.iter().all(|(key, value)| {
            let versions = self.versions.get(key);
            let last = versions.and_then(|versions| versions.range(..=at).next_back());
            last.and_then(|(_, value)| *value) == *value
        })
    }
}

/// A value long enough that few fill a memtable.
pub(crate) fn value_of(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(600 + (number as usize * 131) % 500, b'.');
    value
}

/// The number of the write that a value is of; the rest of it must be as it was written.
pub(crate) fn number_of(value: &Value) -> u64 {
    let number = u64::from_be_bytes(*value.first_chunk().expect("a value begins with its number"));
    assert_eq!(value[..], value_of(number)[..], "a value is not what was written");
    number
}
