//! Alluvium beside other embedded engines, on the machine at hand. `bench/RESULTS.md` has the newest
//! run.
//!
//! ```sh
//! cargo run --release -p alluvium-compare -- n=1_000_000 rounds=3 out=results
//! cargo run --release -p alluvium-compare --features rocksdb -- engines=alluvium,rocksdb
//! ```
//!
//! - **Fair.** Each engine is set as its users and its documents would, for the same promise: writes
//!   are handed to the system and not synced one by one. The file of each engine in `engines` says
//!   which settings, why, and where its promise is weaker. All have the same allocator, the same
//!   cache, the same data and the same threads.
//! - **Apart.** Each pair of engine and row has a process and a directory of its own, which begins
//!   with a copy of data that was loaded, settled and closed. In each round the engines take turns.
//! - **Checked.** Every key and value is a function of a number, and compared in full as it is read.
//!   A wrong answer ends the program.
//! - **Settled.** Before reading, and after writing, memtables are flushed and merges waited for,
//!   until the process rests. What that writes and takes belongs to the row.
//!
//! An engine is a file in `engines`, a workload one in `workloads`.

mod cgroup;
mod child;
mod copy;
mod counts;
mod data;
mod engine;
mod engines;
// The same buckets as in the engine's own benchmarks.
#[path = "../../src/histogram.rs"]
mod histogram;
mod machine;
mod measure;
mod report;
mod results;
mod rounds;
mod settings;
mod stats;
mod usage;
mod workloads;

use std::process::ExitCode;

use settings::Settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What ends the program early.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
Usage: alluvium-compare [COMMAND] [NAME=VALUE]...

  run      (or no command) measures, and prints tables; with out=DIR writes them, with pictures
  report   in=DIR/results.json makes tables and pictures of an earlier run again
  counts   instructions and cache misses of a get, a seek and a scanned key, by valgrind;
           with out=DIR they are added to the results there

  settings=LIST       of fits, default, limited (default all)
  engines=LIST        (default all that are built in; RocksDB with `--features rocksdb`)
  rows=LIST           (default all; a mistake lists them)
  n=COUNT             keys of 20 bytes with values of 100 (default 5,000,000; counts 2,000,000);
                      larger values come in proportion
  rounds=COUNT        how often each figure is taken (default 3)
  seconds=NUMBER      how long a row goes on that has no end (default 2)
  load_seconds=NUMBER when a load is cut (default 30)
  rest_ms=COUNT       how long a process that rests does nothing (default 2,000)
  seed=NUMBER         of keys and choices (default 1)
  dir=PATH            where to make the databases (default: the system's temporary directory)
  out=PATH            where to write RESULTS.md, results.json and pictures
  note=TEXT           a remark for the head of the results
";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let is_command = args.first().is_some_and(|first| !first.contains('='));
    let command = if is_command { args.remove(0) } else { "run".to_owned() };
    match dispatch(&command, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alluvium-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, args: Vec<String>) -> Result<()> {
    let settings = || Settings::parse(args.iter().cloned());
    match command {
        "run" => rounds::run(&settings()?),
        "report" => report::again(&settings()?),
        // Fewer keys by default, because valgrind takes fifty times as long.
        "counts" => {
            let given = args.iter().any(|arg| arg.trim_start_matches('-').starts_with("n="));
            let fewer = (!given).then(|| "n=2_000_000".to_owned());
            counts::run(&Settings::parse(fewer.into_iter().chain(args.iter().cloned()))?)
        }
        // Not for people: what `run` and `counts` start.
        "child" => child::run(&settings()?),
        "child-load" => child::load(&settings()?),
        "child-counts" => counts::run_child(&settings()?),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`; try `help`").into()),
    }
}
