//! Many emptied queues, looked at in turn.

use super::*;
use crate::engine::keyspaces::ask::open_keyspace;
use crate::engine::report::stats::gather_stats;
use crate::engine::write::{put, rotate};

/// Many emptied queues, each with `per` tombstones: what a look at each of them, in every kind of
/// order, walks over once all have been looked at.
struct Queues {
    fs: SimFs,
    engine: Arc<Engine>,
    threads: Threads,
    keyspaces: Vec<Arc<KeyspaceState>>,
    count: usize,
}

impl Queues {
    /// In one keyspace, or each in its own.
    fn new(count: usize, per: usize, memory_bytes: usize, apart: bool) -> Self {
        let fs = SimFs::new();
        let options = Options {
            memory_bytes,
            memtable_bytes: memory_bytes / 16,
            flush_bytes: memory_bytes / 8,
            compaction_threads: 0,
            sync_every: std::time::Duration::ZERO,
            ..Options::default()
        };
        let opened = Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None);
        let (engine, threads) = opened.unwrap();
        let keyspaces = match apart {
            true => (0..count).map(|queue| format!("queue {queue}")).collect(),
            false => vec!["default".to_owned()],
        };
        let open = |name: &String| open_keyspace(&engine, name, None).unwrap();
        let keyspaces = keyspaces.iter().map(open).collect();
        let queues = Self { fs, engine, threads, keyspaces, count };
        // A run below all others, so that flushes keep the tombstones.
        write(&queues.engine, 999_999, Some(b"last"));
        queues.engine.flush().unwrap();
        (0..per).for_each(|job| {
            (0..count).for_each(|queue| queues.delete(queue, job));
        });
        queues
    }

    fn name(queue: usize) -> Vec<u8> {
        format!("queue {queue:05}: ").into_bytes()
    }

    fn keyspace(&self, queue: usize) -> &KeyspaceState {
        &self.keyspaces[queue % self.keyspaces.len()]
    }

    fn write(&self, queue: usize, job: usize, value: Option<&[u8]>) {
        let key = [Self::name(queue), key(job)].concat();
        let id = self.keyspace(queue).id;
        put::write_one(&self.engine, id, &key, value, Durability::Buffered).unwrap();
    }

    fn delete(&self, queue: usize, job: usize) {
        self.write(queue, job, None);
    }

    /// Looks for the heads of these queues, of which there is none. Returns how many tombstones
    /// that has walked over.
    fn walked(&self, queues: impl Iterator<Item = usize>, forward: bool) -> u64 {
        let look = |queue: usize| {
            let bounds = prefix_bounds(&Self::name(queue));
            let mut iter = iter(&self.engine, self.keyspace(queue), bounds, ReadAt::Now);
            assert_eq!(if forward { front(&mut iter) } else { back(&mut iter) }, None);
            iter.dead_walked()
        };
        queues.map(look).sum()
    }

    /// Looks until every look but `left` walks over nothing: one that was walked while somebody was
    /// in the commit section is not remembered.
    #[track_caller]
    fn remember(&self, per: usize, left: usize) {
        for _ in 0..1_000 {
            if self.walked(0..self.count, true) <= (left * per) as u64 {
                return;
            }
            self.engine.commit.with(|_, _| ());
        }
        panic!("{} are remembered", gather_stats(&self.engine).stretches);
    }

    fn close(self) {
        close(&self.engine, &self.threads);
        drop(self.fs);
    }
}

/// At most 16 were remembered, and the one remembered longest ago went: of 17 queues looked at in
/// turn each was walked each time. Now all of them fit, in any order, also behind a rotation.
#[test]
fn a_look_at_one_of_many_emptied_queues_walks_over_nothing() {
    for (count, apart) in [(17, false), (1_000, false), (100, true)] {
        let queues = Queues::new(count, 40, 64 << 20, apart);
        let check = || {
            let mut random = Random::from_env(1);
            let order = std::iter::repeat_with(|| random.below(count)).take(count);
            assert_eq!(queues.walked(order, true), 0);
            assert_eq!(queues.walked((0..count).rev(), true), 0);
            // From behind, the last of each is met before the stretch.
            assert!(queues.walked(0..count, false) <= count as u64);
            assert_eq!(gather_stats(&queues.engine).stretches, count as u64);
        };
        queues.remember(40, 0);
        check();
        rotate::seal_active(&queues.engine).unwrap();
        check();
        // What is put behind them, or into one of them, leaves the others alone.
        queues.write(7, 1_000, Some(b"v"));
        check_but(&queues, 7);
        queues.delete(7, 1_000);
        queues.write(9, 20, Some(b"v"));
        check_but(&queues, 9);
        queues.close();
    }
}

/// All queues but one, which has a job.
#[track_caller]
fn check_but(queues: &Queues, busy: usize) {
    let others = (0..queues.count).filter(|&queue| queue != busy && queue != 7);
    assert_eq!(queues.walked(others, true), 0);
}

/// More than there is room for: as many as there is room for are not walked.
#[test]
fn what_is_remembered_has_a_bound_in_bytes() {
    let queues = Queues::new(480, 40, 2 << 20, false);
    let room = 2 << 20 >> 5;
    queues.remember(40, 200);
    let stretches = gather_stats(&queues.engine).stretches;
    let bytes = queues.engine.commit.with(|env, _| env.tail.stretches.bytes());
    assert!(bytes <= room && bytes > room / 10 * 9, "{bytes} of {room}");
    assert!((200..480).contains(&stretches), "{stretches}");
    for forward in [true, false] {
        let walked = queues.walked(0..480, forward);
        assert!(walked <= 40 * (480 - stretches) + 480, "{walked}");
    }
    queues.close();
}
