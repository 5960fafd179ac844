//! The clock of a run. It stands still while threads have something to do, and jumps to the next
//! deadline, or a little towards it, when the scheduler gives its task a turn: a wait may time out
//! whatever else can run, and waits time out in the order of their deadlines.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread::JoinHandle;

use super::{TIMED_OUT, Turn, WOKEN};

/// A moment of a run, since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(Duration);

/// What each look at the clock takes, so that a thread which only looks gets on.
const LOOK: Duration = Duration::from_nanos(100);

/// How far the clock goes in one turn: a wait of seconds does not end while a thread that would end
/// it is only kept from running for a moment.
const TURN: Duration = Duration::from_millis(100);

std::thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static CALLS: RefCell<Calls> = const { RefCell::new(Calls::new()) };
}

/// Those that are to be called, and when.
struct Calls {
    /// By the deadline, then by age.
    waiting: BTreeMap<(Instant, u64), Arc<Turn>>,
    made: u64,
    /// The clock's own wait, for somebody to call.
    idle: Option<Arc<Turn>>,
    stopped: bool,
}

impl Calls {
    const fn new() -> Self {
        Self { waiting: BTreeMap::new(), made: 0, idle: None, stopped: false }
    }
}

/// The clock's task.
pub(super) struct Clock(JoinHandle<()>);

/// Begins the time of a run.
pub(super) fn start() -> Clock {
    NOW.set(Duration::ZERO);
    CALLS.set(Calls::new());
    Clock(shuttle::thread::spawn(go))
}

impl Clock {
    pub(super) fn stop(self) {
        CALLS.with_borrow_mut(|calls| calls.stopped = true);
        wake_clock();
        self.0.join().expect("the clock does not panic");
    }
}

/// Has `turn` end at `deadline`, if nothing else ends it before.
pub(super) fn call(deadline: Instant, turn: &Arc<Turn>) {
    CALLS.with_borrow_mut(|calls| {
        calls.made += 1;
        calls.waiting.insert((deadline, calls.made), Arc::clone(turn));
    });
    wake_clock();
}

/// What the clock shows.
pub(super) fn elapsed() -> Duration {
    NOW.get()
}

fn wake_clock() {
    if let Some(idle) = CALLS.with_borrow_mut(|calls| calls.idle.take()) {
        idle.end(WOKEN);
    }
}

/// Each turn that the scheduler gives it, one call, or the time until then that it takes.
fn go() {
    loop {
        if CALLS.with_borrow(|calls| calls.stopped) {
            return;
        }
        let next = CALLS.with_borrow_mut(|calls| {
            calls.waiting.retain(|_, turn| turn.is_waiting());
            calls.waiting.pop_first()
        });
        if let Some(((deadline, made), turn)) = next {
            NOW.set(NOW.get().max(deadline.0.min(NOW.get() + TURN)));
            if NOW.get() < deadline.0 {
                CALLS.with_borrow_mut(|calls| calls.waiting.insert((deadline, made), turn));
            } else {
                turn.end(TIMED_OUT);
            }
            shuttle::thread::yield_now();
        } else {
            let idle = Turn::new();
            CALLS.with_borrow_mut(|calls| calls.idle = Some(Arc::clone(&idle)));
            idle.wait();
        }
    }
}

impl Instant {
    pub(crate) fn now() -> Self {
        NOW.set(NOW.get() + LOOK);
        Self(NOW.get())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    pub(crate) fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
