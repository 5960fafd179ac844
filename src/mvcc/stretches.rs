//! Remembered stretches of dead keys: what a scan has walked over once, the next one jumps over.
//!
//! A queue leaves thousands of tombstones before its first live key. A scan that met only dead keys
//! in a span remembers that on the active memtable, and later scans whose view has that memtable in
//! front go on behind the span. Scanning readers remember and jump, writers in the commit section
//! cut; no reader takes a lock or waits for one. What a span is made of is not known here.

use crate::ids::Sequence;
use crate::mvcc::retire::Retired;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Published};

/// More stretches than this are not kept: the one remembered longest ago goes.
/// Each value that is put compares its key with all of them.
pub(crate) const STRETCHES_MAX: usize = 16;

/// A stretch that has not grown for so many rotations is forgotten, so that writers need not look
/// at it for good. Whoever still scans there walks once more.
const ROTATIONS_MAX: u32 = 16;

/// How many later lists a superseded one outlives, besides whoever still reads it.
const GRACE_LISTS: u64 = 16;

/// How often a reader that has looked for later writes tries to enter the section.
const TRIES: usize = 8;

/// A part of the order of keys.
pub(crate) trait Span: Sized {
    /// Where a write goes.
    type Point<'a>: Copy;

    /// Whether the point lies in it.
    fn covers(&self, point: Self::Point<'_>) -> bool;

    /// Whether all of `other` lies in it.
    fn contains(&self, other: &Self) -> bool;

    /// Both as one, if nothing lies between them.
    fn join(&self, other: &Self) -> Option<Self>;

    /// What lies before a point in it, and what lies behind.
    fn split(&self, point: Self::Point<'_>) -> [Option<Self>; 2];
}

/// No live key in `span`, for readers at `since` and above.
#[derive(Debug)]
struct Stretch<S> {
    span: Arc<S>,
    since: Sequence,
    /// How often it was handed on.
    rotations: u32,
}

impl<S> Clone for Stretch<S> {
    fn clone(&self) -> Self {
        let &Self { ref span, since, rotations } = self;
        Self { span: Arc::clone(span), since, rotations }
    }
}

/// In the order in which they were remembered.
type List<S> = Vec<Stretch<S>>;

/// The stretches that readers find with a memtable.
///
/// A stretch on a memtable says (I28): who reads at `since` or above, through a view whose newest
/// layer is this memtable, finds no live key in the span. It speaks of that memtable and of all
/// that is older, whichever layers hold it, so flushes and merges change nothing about it.
///
/// Reading: 1. find the place in the order to read at (a view, **then** `visible`); 2. load the
/// list of the view's newest memtable; 3. jump over a span whose `since` is not above that place.
///
/// Remembering a span that was walked at `since`, in which neither a live key nor a version above
/// `since` was met ([`remember`]):
/// 1. enter the commit section, unless somebody is in it or the memtable is no longer the active
///    one: then give up, the next scan will try again;
/// 2. if nothing was written since, publish; otherwise set a watch on the span, and leave;
/// 3. outside, look for values above `since` that the memtable has in the span; give up if it has;
/// 4. enter again; publish if the watch is unspoiled.
///
/// Writing, inside the section: 1. insert; 2. spoil the watch and cut the stretches that cover a
/// new value ([`Book::written`]); 3. store `visible`. A tombstone changes nothing: dead stays dead.
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
/// *p*, hence before the reader loaded the list.
#[derive(Debug)]
pub(crate) struct Stretches<S> {
    /// Whether the list may have anything: most have nothing, and are asked at each dead key.
    some: AtomicBool,
    list: Published<List<S>>,
}

impl<S: Span> Stretches<S> {
    /// Nothing remembered.
    pub(crate) fn new() -> Self {
        Self { some: AtomicBool::new(false), list: Published::new(Arc::new(Vec::new())) }
    }

    /// What `take` makes of the stretch remembered last that holds for readers at `at` and that it
    /// makes anything of.
    #[inline]
    pub(crate) fn find<R>(&self, at: Sequence, take: impl FnMut(&S) -> Option<R>) -> Option<R> {
        // Relaxed: a hint. A stale `true` leads to the list, a stale `false` to a walk.
        if !self.some.load(Ordering::Relaxed) {
            return None;
        }
        let list = self.list.load();
        let holds = list.iter().rev().filter(|stretch| stretch.since <= at);
        holds.map(|stretch| &*stretch.span).find_map(take)
    }

    /// How many are remembered, for whatever readers.
    pub(crate) fn count(&self) -> usize {
        self.list.load().len()
    }
}

/// The writing end, inside the commit section: the list of the active memtable, and the watch.
#[derive(Debug)]
pub(crate) struct Book<S> {
    /// What the active memtable publishes.
    list: Arc<List<S>>,
    /// The span that a reader is about to remember. One at a time: the last comer has it.
    watch: Option<(Arc<S>, Ticket)>,
    last_ticket: Ticket,
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
    /// The book of the first active memtable, on which nothing is remembered.
    pub(crate) fn new(on: &Stretches<S>) -> Self {
        let (list, last_ticket) = (on.list.load_full(), Ticket(0));
        Self {
            list,
            watch: None,
            last_ticket,
            lists: 0,
            retired: Retired::new(),
            #[cfg(test)]
            never_cuts: false,
        }
    }

    /// A value was inserted at `point`: nothing that covers it holds any longer.
    ///
    /// Costs a look at two fields of the section where nothing is remembered.
    #[inline]
    pub(crate) fn written(&mut self, on: &Stretches<S>, point: S::Point<'_>) {
        if self.watch.is_some() || !self.list.is_empty() {
            self.cut(on, point);
        }
    }

    fn cut(&mut self, on: &Stretches<S>, point: S::Point<'_>) {
        #[cfg(test)]
        if self.never_cuts {
            return;
        }
        self.watch.take_if(|(span, _)| span.covers(point));
        if !self.list.iter().any(|stretch| stretch.span.covers(point)) {
            return;
        }
        let mut list = Vec::with_capacity(self.list.len() + 1);
        for stretch in self.list.iter() {
            if stretch.span.covers(point) {
                let rest = stretch.span.split(point).into_iter().flatten();
                list.extend(rest.map(|span| Stretch { span: Arc::new(span), ..stretch.clone() }));
            } else {
                list.push(stretch.clone());
            }
        }
        self.publish(on, list);
    }

    /// Gives the next active memtable, which is empty, what is remembered and still grows.
    pub(crate) fn hand_over(&mut self, to: &Stretches<S>) {
        // What it watched has lost its memtable: a write into the next one would not spoil it.
        self.watch = None;
        let young = self.list.iter().filter(|stretch| stretch.rotations < ROTATIONS_MAX);
        let older = |old: &Stretch<S>| Stretch { rotations: old.rotations + 1, ..old.clone() };
        let list: List<S> = young.map(older).collect();
        self.list = to.list.load_full();
        if !list.is_empty() {
            self.exchange(to, Arc::new(list));
        }
    }

    /// Begins anew with the next active memtable: something was put between it and the one before.
    pub(crate) fn begin(&mut self, on: &Stretches<S>) {
        self.watch = None;
        self.list = on.list.load_full();
    }

    /// Sets the watch on a span.
    fn watch(&mut self, span: &Arc<S>) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0.wrapping_add(1));
        self.watch = Some((Arc::clone(span), self.last_ticket));
        self.last_ticket
    }

    /// Publishes the watched span, unless the watch was spoiled or taken over. Returns whether.
    fn confirm(&mut self, on: &Stretches<S>, ticket: Ticket, since: Sequence) -> bool {
        let mine = self.watch.take_if(|(_, current)| *current == ticket);
        let kept = mine.is_some();
        if let Some((span, _)) = mine {
            self.add(on, span, since);
        }
        kept
    }

    /// Publishes a stretch. The one that it goes on from becomes part of it, so that a stretch that
    /// grows stays one; what was remembered for older readers stays apart.
    fn add(&mut self, on: &Stretches<S>, span: Arc<S>, since: Sequence) {
        let mut stretch = Stretch { span, since, rotations: 0 };
        let known = |old: &Stretch<S>| old.since <= since && old.span.contains(&stretch.span);
        if self.list.iter().any(known) {
            return;
        }
        let mut list = List::clone(&self.list);
        list.retain(|old| old.since < since || !stretch.span.contains(&old.span));
        let joined = |old: &Stretch<S>| old.span.join(&stretch.span).map(Arc::new);
        let newest = |i: &usize| list[*i].since;
        let touching = (0..list.len()).filter(|&i| joined(&list[i]).is_some());
        if let Some(at) = touching.filter(|&i| list[i].since <= since).max_by_key(newest)
            && let Some(span) = joined(&list.remove(at))
        {
            stretch.span = span;
        }
        list.push(stretch);
        self.publish(on, list);
    }

    fn publish(&mut self, on: &Stretches<S>, mut list: List<S>) {
        list.drain(..list.len().saturating_sub(STRETCHES_MAX));
        self.exchange(on, Arc::new(list));
    }

    fn exchange(&mut self, on: &Stretches<S>, list: Arc<List<S>>) {
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
    /// still the active one. `f` gets its list and the last sequence that was taken.
    fn try_enter<R>(&self, f: impl FnOnce(&mut Book<S>, &Stretches<S>, Sequence) -> R)
    -> Option<R>;

    /// Whether that memtable holds a value above `since` in the span: among what was inserted
    /// before the call, at least. Outside the section.
    fn written_since(&self, span: &S, since: Sequence) -> bool;
}

/// Remembers that `span` has no live key for readers at `since` and above, as far as that can be
/// made sure of without waiting. Returns whether it did. The steps are those of [`Stretches`].
pub(crate) fn remember<S: Span>(env: &impl RememberEnv<S>, span: S, since: Sequence) -> bool {
    let span = Arc::new(span);
    let entered = env.try_enter(|book, on, last| {
        if last > since {
            return Some(book.watch(&span));
        }
        book.add(on, Arc::clone(&span), since);
        None
    });
    let Some(watch) = entered else { return false };
    let Some(ticket) = watch else { return true };
    if env.written_since(&span, since) {
        return false;
    }
    let confirm = |_| env.try_enter(|book, on, _| book.confirm(on, ticket, since));
    (0..TRIES).find_map(confirm).unwrap_or(false)
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
