//! Instructions and cache misses of a get, a seek and a scanned key, by valgrind's callgrind: both
//! are steady where times are not.
//!
//! The data is loaded and settled at full speed. Then the program runs itself under callgrind, which
//! counts inside of [`alluvium_compare_counted`] alone; what is read has been read once before, so
//! that it lies in the engine's cache. The simulated last-level cache has 32 MiB, 16 ways and lines
//! of 64 bytes. The loop that makes keys and checks values is counted as well: the last line shows
//! it by itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::Result;
use crate::engine::{Engine, Way};
use crate::engines::{self, Visit};
use crate::results::{self, Count, Counts};
use crate::settings::{Setting, Settings};
use crate::workloads::scan::Hold;
use crate::workloads::{self, Bench, Row, get, scan, seek};
use crate::{child, data, machine, report};

/// What is counted, as a table has it.
const COUNTED: [Counted; 5] = [
    Counted { what: "get", title: "get", ops: 20_000 },
    Counted { what: "seek", title: "seek + 10 forward", ops: 2_000 },
    Counted { what: "scan", title: "scanned key, lent", ops: 200_000 },
    Counted { what: "scan_back", title: "scanned key, backward, lent", ops: 200_000 },
    Counted { what: "scan_kept", title: "scanned key, kept", ops: 200_000 },
];

struct Counted {
    /// The row that it is of.
    what: &'static str,
    title: &'static str,
    ops: u64,
}

impl Counted {
    /// A scan has no more keys than there are.
    fn ops(&self, n: u64) -> u64 {
        if self.what.starts_with("scan") { self.ops.min(n) } else { self.ops }
    }
}

/// Loads, counts and prints a table; with `out=DIR` it goes to the results there.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        return Err("valgrind is not installed".into());
    }
    std::fs::create_dir_all(&settings.dir)?;
    let dir = tempfile::Builder::new().prefix("alluvium-compare-").tempdir_in(&settings.dir)?;
    let mut lines = Vec::new();
    for engine in engines::ALL {
        if settings.engines.iter().any(|name| name == engine.name) {
            lines.extend(count_engine(settings, engine, dir.path())?);
        }
    }
    let row = workloads::row("get_missing")?;
    let loops = count(settings, (engines::ALL[0].name, row, Setting::Fits), None, dir.path())?;
    lines.push(loops.each("the loop of a get, without one", None, COUNTED[0].ops));
    dir.close()?;
    let counts = Counts {
        date: machine::today(),
        command: results::command("counts", settings),
        n: settings.n,
        lines,
    };
    println!("{}", report::counts(&counts));
    settings.out.as_deref().map_or(Ok(()), |out| report::add_counts(counts, out))
}

/// Loads one engine, and counts each of its rows.
fn count_engine(
    settings: &Settings,
    engine: &engines::Description,
    dir: &Path,
) -> Result<Vec<Count>> {
    let base = dir.join(engine.name);
    let what = (engine.name, workloads::row("get")?, Setting::Fits);
    eprintln!("loading {}, {} keys", engine.name, settings.n);
    let status = child::command("child-load", settings, what, &base)?.status()?;
    if !status.success() {
        return Err(format!("{} could not be loaded: {status}", engine.name).into());
    }
    let mut lines = Vec::new();
    for counted in
        COUNTED.iter().filter(|counted| settings.rows.iter().any(|row| row == counted.what))
    {
        eprintln!("counting {}, {}", engine.name, counted.title);
        let row = workloads::row(counted.what)?;
        let totals = count(settings, (engine.name, row, Setting::Fits), Some(&base), dir)?;
        lines.push(totals.each(counted.title, Some(engine.title), counted.ops(settings.n)));
    }
    Ok(lines)
}

/// What callgrind counted.
struct Totals {
    instructions: u64,
    first_level_misses: u64,
    last_level_misses: u64,
}

impl Totals {
    /// What that is for one operation.
    fn each(&self, what: &str, engine: Option<&str>, ops: u64) -> Count {
        let each = |count: u64| count as f64 / ops as f64;
        Count {
            what: what.to_owned(),
            engine: engine.map(str::to_owned),
            instructions: each(self.instructions),
            last_level_misses: each(self.last_level_misses),
            first_level_misses: each(self.first_level_misses),
        }
    }

    /// From the lines `events:` and `totals:` of callgrind's file.
    fn parse(text: &str) -> Result<Self> {
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let events = line("events:").ok_or("callgrind wrote no events")?;
        let totals = line("totals:").ok_or("callgrind wrote no totals")?;
        let pairs = events.split_whitespace().zip(totals.split_whitespace());
        let pairs: Vec<_> = pairs.collect();
        let sum = |names: &[&str]| -> Result<u64> {
            let named = pairs.iter().filter(|(event, _)| names.contains(event));
            let counts = named.map(|(_, count)| count.parse::<u64>());
            counts.sum::<std::result::Result<_, _>>().map_err(Into::into)
        };
        Ok(Self {
            instructions: sum(&["Ir"])?,
            first_level_misses: sum(&["I1mr", "D1mr", "D1mw"])?,
            last_level_misses: sum(&["ILmr", "DLmr", "DLmw"])?,
        })
    }
}

/// Runs one row under callgrind, on a copy of the data, or without any database.
fn count(
    settings: &Settings,
    (engine, row, setting): (&str, &Row, Setting),
    base: Option<&Path>,
    dir: &Path,
) -> Result<Totals> {
    let file = dir.join("callgrind");
    let measured = dir.join("counted");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--cache-sim=yes", "--LL=33554432,16,64"]);
    command.args(["--collect-atstart=no", "--toggle-collect=alluvium_compare_counted", "-q"]);
    command.arg(child::prefixed("--callgrind-out-file=", &file));
    command.arg(std::env::current_exe()?).arg("child-counts");
    command.args(child::arguments(settings, engine, row, setting));
    command.arg(child::prefixed("dir=", &measured));
    if let Some(base) = base {
        command.arg(child::prefixed("base=", base));
    }
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(
            format!("{engine}, {} under valgrind: {}\n{said}", row.name, output.status).into()
        );
    }
    if measured.exists() {
        std::fs::remove_dir_all(&measured)?;
    }
    let totals = Totals::parse(&std::fs::read_to_string(&file)?)?;
    std::fs::remove_file(&file)?;
    Ok(totals)
}

/// What runs under callgrind.
pub(crate) fn run_child(settings: &Settings) -> Result<()> {
    if settings.child.base.is_none() {
        let row = child::row(settings)?;
        let data = data::Data::new(settings.seed, row.shape, settings.n);
        counted(COUNTED[0].ops, |i| {
            let key = data.key(data.choice(0, i, data.count()));
            let right = data.is_right(std::hint::black_box(&key), data.value(&key));
            if right { Ok(()) } else { data::wrong("the loop itself is wrong", &key) }
        })?;
        return Ok(());
    }
    let engine = settings.engines.first().ok_or("a child needs an engine")?;
    engines::visit(engine, CountOn(settings))
}

struct CountOn<'a>(&'a Settings);

impl Visit for CountOn<'_> {
    type Output = ();

    fn visit<E: Engine>(self) -> Result<()> {
        let row = child::row(self.0)?;
        let bench = Arc::new(child::open::<E>(self.0, row)?);
        let run = Arc::clone(&bench);
        bench.engine.drive(async move { run_counted(&run, row) })?;
        let bench = Arc::into_inner(bench).ok_or("a workload still holds the engine")?;
        bench.engine.close()
    }
}

fn run_counted<E: Engine>(bench: &Bench<E>, row: &Row) -> Result<()> {
    let counted_row = COUNTED.iter().find(|counted| counted.what == row.name);
    let ops = counted_row.ok_or("this row is not counted")?.ops(bench.data.count());
    let choice = |i| bench.data.choice(0, i, bench.data.count());
    bench.warm()?;
    match row.name {
        "get" => counted(ops, |i| get::one(bench, choice(i))),
        "seek" => counted(ops, |i| seek::one(bench, Way::Forward, choice(i))),
        _ => {
            let way = if row.name == "scan_back" { Way::Backward } else { Way::Forward };
            let hold = if row.name == "scan_kept" { Hold::Kept } else { Hold::Lent };
            counted(1, |_| scan::all(bench, way, hold, ops).map(drop))
        }
    }
}

/// Runs `op` so often where it is counted.
fn counted(ops: u64, op: impl Fn(u64) -> Result<()>) -> Result<()> {
    let mut done = Ok(());
    alluvium_compare_counted(&mut || done = (0..ops).try_for_each(&op));
    done
}

/// What callgrind looks for by its name.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn alluvium_compare_counted(work: &mut dyn FnMut()) {
    work();
    // Not a tail call, so that leaving is seen.
    std::hint::black_box(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_by_the_names_of_events() {
        let text = "version: 1\nevents: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\nfn=x\n\
            totals: 1000 1 2 3 4 5 6 7 8\n";
        let totals = Totals::parse(text).unwrap();
        assert_eq!(totals.instructions, 1_000);
        assert_eq!((totals.first_level_misses, totals.last_level_misses), (12, 21));
        assert!(Totals::parse("events: Ir\n").is_err());
    }
}
