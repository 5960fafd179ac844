//! Remembered stretches of dead keys: what a scan has walked over once, the next one jumps over.
//!
//! A queue leaves thousands of tombstones before its first live key. A scan that met only dead keys
//! in a span remembers that on the active memtable, and later scans whose view has that memtable in
//! front go on behind the span. Scanning readers remember and jump, writers in the commit section
//! cut; no reader takes a lock or waits for one. What a span is made of is not known here.

mod list;

use list::{List, Stretch};

use crate::ids::Sequence;
use crate::mvcc::retire::Retired;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Published};

/// A stretch that nobody has jumped over for that many rotations, or that many rounds of ageing
/// where there are more than a chunk, is forgotten, so that writers need not look for it for good.
const ROTATIONS_MAX: u32 = 16;

/// How many dead keys somebody has to have walked over for each cut of a stretch that nobody has
/// jumped over since it was cut before: walking as many costs about what the cut does. So filling a
/// dead span with values in any order costs writers no more than it has cost the scan before.
const KEYS_PER_CUT: u64 = 64;

/// The most keys that are kept in account for cuts.
const ACCOUNT_MAX: u64 = 1 << 20;

/// Of how many stretches drawn at random the one of least worth goes, where there is no room.
const DRAWS: usize = 8;

/// The most that go for one that comes.
const GOING_MAX: usize = 8;

/// How many later lists a superseded one outlives, besides those that readers hold.
const GRACE_LISTS: u64 = 16;

/// How often a reader that has looked for later writes tries to enter the section.
const TRIES: usize = 8;

/// A part of the order of keys.
pub(crate) trait Span: Clone {
    /// Where a write goes.
    type Point<'a>: Copy;

    /// Whether it begins at the point or before.
    fn begins_by(&self, point: Self::Point<'_>) -> bool;

    /// Whether it ends at the point or before: the point is not in it.
    fn ends_by(&self, point: Self::Point<'_>) -> bool;

    /// Whether the point lies in it.
    fn covers(&self, point: Self::Point<'_>) -> bool {
        self.begins_by(point) && !self.ends_by(point)
    }

    /// Whether all of `other` lies in it.
    fn contains(&self, other: &Self) -> bool;

    /// Whether it ends before `other` begins, with something between them.
    fn ends_before(&self, other: &Self) -> bool;

    /// From where the first of both begins to where the last of them ends.
    fn join(&self, other: &Self) -> Self;

    /// What lies before a point in it, and what lies behind.
    fn split(&self, point: Self::Point<'_>) -> [Option<Self>; 2];

    /// Memory on the heap, in bytes.
    fn bytes(&self) -> usize;
}

/// The stretches that readers find with a memtable.
///
/// A stretch on a memtable says (I28): who reads at `since` or above, through a view whose newest
/// layer is this memtable, finds no live key in the span. It speaks of that memtable and of all
/// that is older, whichever layers hold it, so flushes and merges change nothing about it.
///
/// Reading: 1. find the place in the order to read at (a view, **then** `visible`); 2. load the
/// list of the view's newest memtable; 3. jump over a span whose `since` is not above that place.
///
/// Stretches neither overlap nor touch: what does becomes one, for the newest of their readers, and
/// has beside it what older readers have found (`list`).
///
/// Remembering a span that was walked at `since`, in which neither a live key nor a version above
/// `since` was met ([`remember`]):
/// 1. enter the commit section, unless somebody is in it or the memtable is no longer the active
///    one: then give up, the next scan will try again;
/// 2. if nothing was written since, publish; otherwise set a watch on the span, and leave;
/// 3. outside, when all that was written before the watch is visible, look for values above `since`
///    that the memtable has in the span; give up if it has, or if that takes long;
/// 4. enter again; publish if the watch is unspoiled.
///
/// Writing: 1. inside the section, spoil the watch and cut the stretches that cover a new value
/// ([`Book::written`]); 2. outside, insert; 3. store `visible`. A tombstone changes nothing: dead
/// stays dead.
///
/// Rotating, inside the section: hand the list on to the next memtable before its view is published
/// ([`Book::hand_over`]): it is empty, so what held of the old one and all that is older holds of
/// it. Whatever is put under the active memtable instead of into it takes a new active memtable
/// with it, on which nothing is remembered ([`Book::begin`]).
///
/// Why a jump misses nothing: let a reader at *t* >= `since` see a live key in the span, by a value
/// at *p* <= *t*. If *p* <= `since`, the walk would have met it live: the versions between *p* and
/// *t* that could hide it do not exist, and the walk saw a prefix (I3). So *p* > `since`. A flush
/// does not drop what a reader sees (I7), so unless the walk met the value, and ended the span
/// there, it was written into the active memtable behind the walk's back: before the watch, and
/// step 3 found it; or after, and it spoiled the watch or cut the stretch before `visible` reached
/// *p*, so before the reader loaded the list.
#[derive(Debug)]
pub(crate) struct Stretches<S> {
    /// Whether the list may have anything: most have nothing, and are asked at each dead key.
    some: AtomicBool,
    list: Published<List<S>>,
}

impl<S: Span> Stretches<S> {
    /// Nothing remembered.
    pub(crate) fn new() -> Self {
        Self { some: AtomicBool::new(false), list: Published::new(Arc::new(List::new())) }
    }

    /// What `take` makes of a span that holds for readers at `at` and that `begins` is true for:
    /// the last stretch that it is true for, or what that has of older readers. It is true for all
    /// before that one.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        at: Sequence,
        begins: impl Fn(&S) -> bool,
        mut take: impl FnMut(&S) -> Option<R>,
    ) -> Option<R> {
        // Relaxed: a hint. A stale `true` leads to the list, a stale `false` to a walk.
        if !self.some.load(Ordering::Relaxed) {
            return None;
        }
        let list = self.list.load();
        let stretch = list.get(list.place(&begins).before()?)?;
        let found = match stretch.since <= at {
            true => take(&stretch.span),
            false => stretch.older(at).filter(|span| begins(span)).find_map(take),
        };
        if found.is_some() {
            stretch.jumped();
        }
        found
    }

    /// How many are remembered, for whatever readers.
    pub(crate) fn count(&self) -> usize {
        self.list.load().len()
    }

    /// All spans that hold for readers at `at`.
    #[cfg(test)]
    pub(crate) fn all(&self, at: Sequence) -> Vec<S> {
        let list = self.list.load();
        let stretches = list.chunks.iter().flat_map(|chunk| chunk.iter());
        stretches.flat_map(|stretch| stretch.holds(at).cloned()).collect()
    }
}

/// The writing end, inside the commit section: the list of the active memtable, and the watch.
///
/// A change of the list costs a copy of one chunk and of the list of chunks.
#[derive(Debug)]
pub(crate) struct Book<S> {
    /// What the active memtable publishes.
    list: Arc<List<S>>,
    /// The span that a reader is about to remember. One at a time: the last comer has it.
    watch: Option<(S, Ticket)>,
    last_ticket: Ticket,
    /// The most memory that a list may take.
    bytes_max: usize,
    /// Dead keys that were walked over, for which no cut has been made.
    account: u64,
    /// Which chunk ageing comes by next.
    turn: usize,
    /// Where draws come from.
    random: u64,
    /// Counts what was published, in place of a clock.
    lists: u64,
    retired: Retired<List<S>>,
    /// A fault for the engine's tests to plant.
    #[cfg(test)]
    pub(crate) never_cuts: bool,
}

/// Which watch it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl<S: Span> Book<S> {
    /// The book of the first active memtable, on which nothing is remembered. No list of its takes
    /// more than `bytes_max` bytes.
    pub(crate) fn new(on: &Stretches<S>, bytes_max: usize) -> Self {
        let list = on.list.load_full();
        let last_ticket = Ticket(0);
        Self {
            list,
            watch: None,
            last_ticket,
            bytes_max,
            account: 0,
            turn: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            lists: 0,
            retired: Retired::new(),
            #[cfg(test)]
            never_cuts: false,
        }
    }

    /// The memory of the list, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.list.bytes()
    }

    /// Whether a write has to say where it goes.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        self.watch.is_some() || !self.list.is_empty()
    }

    /// A value is going to be inserted at `point`: nothing that covers it holds any longer.
    ///
    /// Costs a look at two fields of the section where nothing is remembered, and elsewhere two
    /// binary searches.
    #[inline]
    pub(crate) fn written(&mut self, on: &Stretches<S>, point: S::Point<'_>) {
        if self.has_any() {
            self.cut(on, point);
        }
    }

    fn cut(&mut self, on: &Stretches<S>, point: S::Point<'_>) {
        #[cfg(test)]
        if self.never_cuts {
            return;
        }
        self.watch.take_if(|(span, _)| span.covers(point));
        let place = self.list.place(|span| span.begins_by(point)).before();
        let Some(place) = place else { return };
        let covers = |stretch: &&Arc<Stretch<S>>| !stretch.span.ends_by(point);
        let Some(stretch) = self.list.get(place).filter(covers) else { return };
        let account = match stretch.is_used() {
            true => Some(self.account),
            false => self.account.checked_sub(KEYS_PER_CUT),
        };
        let mut list = List::clone(&self.list);
        match account {
            Some(account) if list.bytes() + stretch.bytes() <= self.bytes_max => {
                let parts = stretch.split(point).into_iter().map(Arc::new).collect();
                list.replace(place, place.next(), parts);
                self.account = account;
            }
            _ => list.remove(place),
        }
        self.publish(on, list);
    }

    /// Gives the next active memtable, which is empty, what is remembered and still of use.
    pub(crate) fn hand_over(&mut self, to: &Stretches<S>) {
        // What it watched has lost its memtable: a write into the next one would not spoil it.
        self.watch = None;
        let mut list = List::clone(&self.list);
        list.age(self.turn, ROTATIONS_MAX);
        self.turn = self.turn.wrapping_add(1);
        self.list = to.list.load_full();
        if !list.is_empty() {
            self.publish(to, list);
        }
    }

    /// Begins again with the next active memtable: something was put between it and the one before.
    pub(crate) fn begin(&mut self, on: &Stretches<S>) {
        self.watch = None;
        self.list = on.list.load_full();
    }

    /// Sets the watch on a span.
    fn watch(&mut self, span: &S) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0.wrapping_add(1));
        self.watch = Some((span.clone(), self.last_ticket));
        self.last_ticket
    }

    /// Publishes the watched span, unless the watch was spoiled or taken over. Returns whether.
    fn confirm(&mut self, on: &Stretches<S>, ticket: Ticket, keys: u64, since: Sequence) -> bool {
        let mine = self.watch.take_if(|(_, current)| *current == ticket);
        let kept = mine.is_some();
        if let Some((span, _)) = mine {
            self.add(on, &span, keys, since);
        }
        kept
    }

    /// Publishes a stretch of `keys` dead keys as one with those that it touches, if there is room.
    fn add(&mut self, on: &Stretches<S>, span: &S, keys: u64, since: Sequence) {
        let from = self.list.place(|old| old.ends_before(span));
        let to = self.list.place(|old| !span.ends_before(old));
        let touched = self.list.between(from, to);
        if touched.iter().any(|old| old.knows(span, since)) {
            return;
        }
        self.account = (self.account + keys).min(ACCOUNT_MAX);
        let stretch = Arc::new(Stretch::new(span, keys, since, &touched));
        let mut list = List::clone(&self.list);
        list.replace(from, to, vec![Arc::clone(&stretch)]);
        // One that grows has its room already.
        let worth = if touched.is_empty() { keys } else { u64::MAX };
        if self.make_room(&mut list, &stretch, worth) {
            self.publish(on, list);
        }
    }

    /// Takes out stretches of less worth than the one that came, until the list has room. Returns
    /// whether it has.
    ///
    /// A new one that is worth no more than those that are drawn does not stay: of more queues than
    /// there is room for, read in turn, as many as there is room for are remembered.
    fn make_room(&mut self, list: &mut List<S>, came: &Arc<Stretch<S>>, worth: u64) -> bool {
        for _ in 0..GOING_MAX {
            if list.bytes() <= self.bytes_max {
                return true;
            }
            let drawn = (0..DRAWS).filter_map(|_| list.draw(self.random()));
            let drawn = drawn.filter_map(|place| Some((place, list.get(place)?)));
            let others = drawn.filter(|(_, stretch)| !Arc::ptr_eq(stretch, came));
            let least =
                others.map(|(place, stretch)| (stretch.worth(), place)).min_by_key(|it| it.0);
            match least {
                Some((least, place)) if least < worth => list.remove(place),
                _ => return false,
            }
        }
        list.bytes() <= self.bytes_max
    }

    /// The next number of an xorshift generator: a model needs the same ones each time, and this
    /// folder imports nothing.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn publish(&mut self, on: &Stretches<S>, list: List<S>) {
        let list = Arc::new(list);
        let old = on.list.load_full();
        let exchanged = on.list.replace(&old, Arc::clone(&list));
        debug_assert!(exchanged, "lists are exchanged inside the section only");
        // Relaxed: a hint, see `find`.
        on.some.store(!list.is_empty(), Ordering::Relaxed);
        self.list = list;
        self.lists += 1;
        self.retired.push(old, self.lists);
        drop(self.retired.collect(self.lists, GRACE_LISTS));
    }
}

/// What [`remember`] works on.
pub(crate) trait RememberEnv<S: Span> {
    /// Runs `f` inside the commit section, if nobody is in it and the memtable that was walked is
    /// still the active one. `f` gets its list and the last sequence that a write has.
    fn try_enter<R>(&self, f: impl FnOnce(&mut Book<S>, &Stretches<S>, Sequence) -> R)
    -> Option<R>;

    /// Whether all up to `last` is visible by now, or soon. Outside the section.
    fn is_visible(&self, last: Sequence) -> bool;

    /// Whether that memtable holds a value above `since` in the span: among what was visible before
    /// the call, at least. Outside the section.
    fn written_since(&self, span: &S, since: Sequence) -> bool;
}

/// Remembers that `span`, in which `keys` dead keys were walked over, has no live key for readers
/// at `since` and above, as far as that can be made sure of without waiting. Returns whether it
/// did. The steps are those of [`Stretches`].
pub(crate) fn remember<S: Span>(
    env: &impl RememberEnv<S>,
    span: &S,
    keys: u64,
    since: Sequence,
) -> bool {
    let entered = env.try_enter(|book, on, last| {
        if last > since {
            return Some((book.watch(span), last));
        }
        book.add(on, span, keys, since);
        None
    });
    let Some(watch) = entered else { return false };
    let Some((ticket, last)) = watch else { return true };
    if !env.is_visible(last) || env.written_since(span, since) {
        return false;
    }
    let confirm = |_| env.try_enter(|book, on, _| book.confirm(on, ticket, keys, since));
    (0..TRIES).find_map(confirm).unwrap_or(false)
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
