//! Writers that want more than the disk takes, in simulated time.

use super::*;

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 256 * MIB;
const FLUSH: u64 = 64 * MIB;
const MEMTABLE: u64 = 4 * MIB;
const RECORD: u64 = 16 << 10;

/// What came of a simulation.
#[derive(Debug, Default)]
struct Outcome {
    /// Bytes written in a second.
    speed: u64,
    /// The longest time from one write of a writer to its next.
    longest_ns: u64,
    /// Writes that found the budget used up.
    at_bound: u64,
}

/// The disk as a function of time: bytes a second of a flush that begins then.
type Disk = fn(u64) -> u64;

struct World {
    pace: Pace,
    disk: Disk,
    /// Memtables that no flush has taken, and the active one's bytes.
    sealed: u64,
    active: u64,
    /// Bytes of the flush under way, and when it ends.
    flush: Option<(u64, u64)>,
}

impl World {
    /// Bytes in sealed memtables, those of the flush under way included.
    fn waiting(&self) -> u64 {
        self.sealed + self.flush.map_or(0, |(bytes, _)| bytes)
    }

    fn used(&self) -> u64 {
        self.waiting() + self.active
    }

    /// Lets flushes end and begin up to `now`.
    fn advance(&mut self, now: u64) {
        while let Some((_, end)) = self.flush
            && end <= now
        {
            self.pace.flush_ended(true, end);
            self.flush = None;
            self.begin(end);
        }
        self.begin(now);
    }

    fn begin(&mut self, now: u64) {
        let pressed = self.used() >= BUDGET - BUDGET / 4;
        if self.flush.is_none() && self.sealed > 0 && (self.sealed >= FLUSH || pressed) {
            let took = self.sealed as u128 * NS_PER_SECOND as u128 / (self.disk)(now) as u128;
            self.pace.flush_began(self.sealed, now);
            self.flush = Some((self.sealed, now + took as u64));
            self.sealed = 0;
        }
    }
}

/// One of the writers.
#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    /// When it does something next.
    at: u64,
    /// When it wanted to write.
    since: u64,
    has_turn: bool,
}

/// `writers` who write `total` bytes, each as fast as one record in `put_ns` at best.
fn simulate(writers: usize, put_ns: u64, total: u64, disk: Disk, paced: bool) -> Outcome {
    let pace = Pace::new(FLUSH as usize);
    let mut world = World { pace, disk, sealed: 0, active: 0, flush: None };
    let mut outcome = Outcome::default();
    let mut all = vec![Writer::default(); writers];
    let mut written = 0;
    let mut now = 0;
    while written < total {
        let writer = all.iter_mut().min_by_key(|writer| writer.at).unwrap();
        now = writer.at;
        world.advance(now);
        let used = world.used();
        // A flush that ends wakes all that wait.
        let flushed = world.flush.map_or(u64::MAX, |(_, end)| end);
        if used >= BUDGET {
            outcome.at_bound += 1;
            writer.at = flushed;
            continue;
        }
        if paced && !writer.has_turn && used >= BUDGET - BUDGET / 4 {
            let turn = world.pace.take_turn(RECORD, BUDGET - used, world.waiting(), now);
            writer.has_turn = true;
            writer.at = turn.map_or(now, |turn| turn.min(flushed));
            continue;
        }
        let done = now + put_ns;
        outcome.longest_ns = outcome.longest_ns.max(done - writer.since);
        *writer = Writer { at: done, since: done, has_turn: false };
        world.active += RECORD;
        if world.active >= MEMTABLE {
            world.sealed += std::mem::take(&mut world.active);
        }
        written += RECORD;
    }
    outcome.speed = (written as u128 * NS_PER_SECOND as u128 / now as u128) as u64;
    outcome
}

fn steady(_: u64) -> u64 {
    100 * MIB
}

/// Five seconds of full speed, then five at a third of it.
fn changing(now: u64) -> u64 {
    if (now / (5 * NS_PER_SECOND)).is_multiple_of(2) { 120 * MIB } else { 40 * MIB }
}

#[test]
fn writers_are_slowed_to_the_speed_of_the_disk_and_not_stopped() {
    // Writers, time of one put in µs, and the longest that any of theirs may take, in ms.
    for (writers, put_us, longest_ms) in [(1, 20, 2), (4, 80, 8), (1, 80, 2)] {
        let run = |disk, paced| simulate(writers, put_us * NS_PER_US, 2_048 * MIB, disk, paced);
        let paced = run(steady, true);
        let unpaced = run(steady, false);
        let both = format!("{writers} writers, {put_us} us: {paced:?}, unpaced {unpaced:?}");
        assert_eq!(paced.at_bound, 0, "{both}");
        assert!(paced.longest_ns <= longest_ms * NS_PER_MS, "{both}");
        assert!(paced.speed >= unpaced.speed / 10 * 9, "{both}");
        // The planted fault: nobody is slowed down, and then everybody stands.
        assert!(unpaced.longest_ns >= 400 * NS_PER_MS, "{both}");

        // A disk that is slower than the last flush said is met halfway.
        let paced = run(changing, true);
        let unpaced = run(changing, false);
        let both = format!("{writers} writers, {put_us} us: {paced:?}, unpaced {unpaced:?}");
        assert!(paced.longest_ns <= unpaced.longest_ns / 5, "{both}");
        assert!(paced.speed >= unpaced.speed / 10 * 9, "{both}");
    }
}

#[test]
fn who_writes_no_faster_than_the_disk_is_not_delayed() {
    let slow = simulate(1, 240 * NS_PER_US, 1_024 * MIB, steady, true);
    assert_eq!((slow.at_bound, slow.longest_ns), (0, 240 * NS_PER_US), "{slow:?}");
}

#[test]
fn the_time_until_memory_comes_follows_the_flushes() {
    const MS: u64 = NS_PER_MS;
    let pace = Pace::new(FLUSH as usize);
    let remaining_ms = |sealed, now| pace.remaining_ns(sealed, now * MS) / MS;
    // Before the first flush a guess, and never less than its syncs take.
    assert_eq!(remaining_ms(64 * MIB, 0), 1_000);
    assert_eq!(remaining_ms(1, 0), FLUSH_MS_MIN);
    // 100 MiB in half a second: half of the guess, half of what was seen.
    pace.flush_began(100 * MIB, 1_000 * MS);
    pace.flush_ended(true, 1_500 * MS);
    assert_eq!(remaining_ms(132 * MIB, 0), 1_000);
    // Neither a failure counts, nor a flush that is all syncs, nor an end without a beginning.
    pace.flush_began(100 * MIB, 2_000 * MS);
    pace.flush_ended(false, 9_000 * MS);
    pace.flush_began(MIB, 2_000 * MS);
    pace.flush_ended(true, 9_000 * MS);
    pace.flush_ended(true, 9_000 * MS);
    assert_eq!(remaining_ms(132 * MIB, 0), 1_000);
    // Under way: what is left of it, whatever else is sealed; late: a quarter of what it took.
    pace.flush_began(132 * MIB, 0);
    for (now, want) in [(0, 1_000), (400, 600), (790, 210), (1_000, 250), (4_000, 1_000)] {
        assert_eq!(remaining_ms(7 * MIB, now), want, "at {now}");
    }
}

#[test]
fn a_turn_costs_the_writes_share_of_what_is_left() {
    const MS: u64 = NS_PER_MS;
    let pace = Pace::new(FLUSH as usize);
    // 64 MiB to flush in a second, 1,000 KiB left: one costs a millisecond.
    let turn = |bytes, now| pace.take_turn(bytes, 1_000 << 10, 64 * MIB, now);
    assert_eq!(turn(1 << 10, 5 * MS), Some(6 * MS));
    assert_eq!(turn(1 << 10, 5 * MS), Some(7 * MS), "behind the other");
    assert_eq!(turn(1 << 10, 500 * MS), Some(501 * MS), "nothing is saved up");
    // Small ones go at once until they have come to something.
    pace.forgive();
    assert_eq!(turn(128, 5 * MS), None);
    assert_eq!(turn(128, 5 * MS), Some(5 * MS + MS / 4));
    // However much it is, the delay has a bound, also for those behind.
    assert_eq!(turn(u64::MAX, 5 * MS), Some((5 + DELAY_MS_MAX) * MS));
    assert_eq!(turn(1 << 10, 5 * MS), Some((5 + DELAY_MS_MAX) * MS));
    pace.forgive();
    assert_eq!(pace.take_turn(1, 0, 64 * MIB, 5 * MS), Some((5 + DELAY_MS_MAX) * MS));
}
