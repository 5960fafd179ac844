//! `cores`: what writers would reach on more cores than this machine has, by simulation.
//!
//! Each writer has a core of its own and puts without a pause: it gets ready, takes its place in the
//! commit order, inserts, and returns once its write is visible. The lengths of these steps are
//! those that were measured of a put (D45); they vary as inserts do. What memory and caches take
//! from each other is left out, so the figures say where the order of writes stops them, no more.

use crate::Outcome;
use crate::settings::Settings;
use crate::workload::Workload;

const CORES: [usize; 5] = [1, 2, 4, 8, 16];
const PUTS: usize = 200_000;

/// How long the steps of a put take, in nanoseconds.
const READY: f64 = 60.0;
const SECTION: f64 = 250.0;
const INSERT: f64 = 700.0;
/// To take over what another core has had: a lock, or a place in a queue.
const HAND_OVER: f64 = 100.0;

#[derive(Clone, Copy)]
enum Way {
    /// The section inserts, too.
    Inside,
    /// The insert comes after the section; writes become visible in their order.
    SideBySide,
    /// Who is first takes the writes of all that wait through section and insert.
    Combining,
}

pub(crate) fn run(settings: &Settings) -> Outcome {
    println!("cores: {PUTS} puts simulated; seed {}", settings.seed);
    println!("ready {READY} ns, section {SECTION}, insert {INSERT}, hand-over {HAND_OVER}");
    println!("thousands of puts a second, and the ratio to one core");
    let heading = CORES.map(|cores| format!("{cores} cores"));
    println!("{:<30} {}", "", heading.map(|text| format!("{text:>14}")).join(" "));
    for (name, way) in [
        ("insert in the section", Way::Inside),
        ("side by side", Way::SideBySide),
        ("combining", Way::Combining),
    ] {
        let rates = CORES.map(|cores| simulate(way, cores, settings.seed));
        let row = rates.map(|rate| format!("{:>8.0} {:>5.2}", rate * 1e6, rate / rates[0]));
        println!("{name:<30} {}", row.join(" "));
    }
    Ok(())
}

/// Puts a nanosecond.
fn simulate(way: Way, cores: usize, seed: u64) -> f64 {
    let mut random = Random { workload: Workload::new(seed), drawn: 0 };
    // When each writer asks for its place.
    let mut asks = vec![0.0_f64; cores];
    // When the section is free, whose it was, and when the last write was visible.
    let mut free = 0.0_f64;
    let mut owner = usize::MAX;
    let mut visible = 0.0_f64;
    let mut done = 0;
    while done < PUTS {
        let first = earliest(&asks);
        let over = if owner == first { 0.0 } else { HAND_OVER };
        let begins = asks[first].max(free) + over;
        owner = first;
        match way {
            Way::Inside | Way::SideBySide => {
                let insert = vary(&mut random, INSERT);
                let appended = begins + vary(&mut random, SECTION);
                let inserted = appended + insert;
                free = if let Way::Inside = way { inserted } else { appended };
                visible = visible.max(inserted);
                asks[first] = visible + vary(&mut random, READY);
                done += 1;
            }
            Way::Combining => {
                let group: Vec<_> = (0..cores).filter(|core| asks[*core] <= begins).collect();
                let works = group.iter().map(|core| {
                    let fetched = if *core == first { 0.0 } else { HAND_OVER };
                    fetched + vary(&mut random, SECTION) + vary(&mut random, INSERT)
                });
                free = begins + works.sum::<f64>();
                for core in &group {
                    let told = if *core == first { 0.0 } else { HAND_OVER };
                    asks[*core] = free + told + vary(&mut random, READY);
                }
                done += group.len();
            }
        }
    }
    done as f64 / free.max(visible)
}

fn earliest(asks: &[f64]) -> usize {
    let of = |at: usize| asks[at];
    (0..asks.len()).min_by(|a, b| of(*a).total_cmp(&of(*b))).expect("there is a core")
}

struct Random {
    workload: Workload,
    drawn: u64,
}

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        self.workload.choice(0, self.drawn, end)
    }
}

/// Between half and three halves of it; one in fifty three times as long.
fn vary(random: &mut Random, length: f64) -> f64 {
    let drawn = random.below(1_000) as f64 / 1_000.0;
    if random.below(50) == 0 { 3.0 * length } else { length * (0.5 + drawn) }
}
