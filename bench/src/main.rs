//! Figures of the engine on the machine at hand: run by people, never by a test.
//!
//! `cargo run --release -p alluvium-bench -- put n=1000000 threads=2`
//!
//! One file per subcommand; each prints a table and the seed that repeats it. Every figure is the
//! median of its rounds, with the range beside it, because other processes run on most machines.
//! Results are checked as they are read: a wrong answer ends the program.

mod backup;
mod beside;
mod checkpoint;
mod cores;
mod count_fs;
mod get;
mod histogram;
mod limits;
mod merge;
mod open;
mod probe_fs;
mod put;
mod queue;
mod runner;
mod scan;
mod settings;
mod sync;
mod transactions;
mod workload;
mod writers;

use std::process::ExitCode;

use settings::Settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What ends a benchmark early.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

const HELP: &str = "\
Usage: alluvium-bench COMMAND [NAME=VALUE]...

  put      24-byte random keys, 100-byte values, Buffered: time in the caller, and where it goes
  get      hits and misses, from memtables and from segments, in and out of the block cache; and
           multi_get
  scan     all keys forward and backward, and seek + 10
  queue    put at the tail, delete at the head, scan 10 from the head
  open     reopening after a kill with a log of 64 MiB to recover
  sync     puts that wait for the device
  merge    what merging writes and leaves, how fast it is, and what readers feel of it
  beside   gets beside a writer at full speed, by the niceness of the engine's own threads
  writers  puts of 1, 2, 4 and 8 threads
  cores    what writers would reach on 1 to 16 cores, simulated from measured steps
  checkpoint  copies of an open database with n values of 4,000 bytes, also beside a writer
  backup   backups of n values of 4,000 bytes, the first and after 1 % was changed; check, restore
  transactions  what one costs beside the same without, four threads that conflict, and how long one
           waits for its turn
  limits   what the machine itself takes for the steps of the above

  n=COUNT        keys (default 5,000,000)
  memory=COUNT   keys of the in-memory tables of get and scan (default 400,000)
  threads=COUNT  callers of put, readers of beside (default 1; get and sync have their own series)
  rounds=COUNT   how often each figure is taken (default 3)
  breakdown=0    leaves that of a single-threaded put out, for a profiler
  seed=NUMBER    of keys and choices (default 1)
  dir=PATH       where to make the databases (default: the system's temporary directory)

  part=NAME        of get: memtables, cached or uncached; of merge: amplification, speed or latency
                   (default all)

  Of beside:
  seconds=COUNT  how long each turn lasts, also of transactions (default 10)
  nice=F:C,...   niceness of the flush thread and the compactors, to take turns (default 0:0,0:10,10:10,19:19)

  Of merge:
  flush_kib=COUNT  flush_bytes in KiB (default 4,096; segments take a quarter of it)
  data=COUNT       size of the data, in flushes (default 100)
  passes=COUNT     how often it is overwritten (default 3)
  bandwidth=COUNT  what can be written while a flush's worth arrives, in flushes (default 12)
  mib=COUNT        data of the timed merges, in MiB (default 600)
  puts=COUNT       puts in a second beside the reads, where there are any (default 20,000)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    let result = Settings::parse(args).and_then(|settings| dispatch(&command, &settings));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alluvium-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, settings: &Settings) -> Outcome {
    match command {
        "put" => put::run(settings),
        "get" => get::run(settings),
        "scan" => scan::run(settings),
        "queue" => queue::run(settings),
        "open" => open::run(settings),
        "sync" => sync::run(settings),
        "merge" => merge::run(settings),
        "beside" => beside::run(settings),
        "writers" => writers::run(settings),
        "backup" => backup::run(settings),
        "checkpoint" => checkpoint::run(settings),
        "cores" => cores::run(settings),
        "limits" => limits::run(settings),
        "transactions" => transactions::run(settings),
        // Not for people: what `open` starts and kills.
        "open-child" => open::run_child(settings),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`; try `help`").into()),
    }
}
