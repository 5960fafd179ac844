//! What a process of its own does: it copies the data that it begins with, opens the engine, runs
//! one row, waits until nothing is going on, and prints what it took as a line of JSON.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::data::Data;
use crate::engine::{Engine, Optimistic};
use crate::engines::{self, Visit, VisitOptimistic};
use crate::measure::Measurement;
use crate::settings::{Setting, Settings};
use crate::usage::{self, Usage, Watch};
use crate::workloads::{self, Bench, Done, Row, Start, conflicts};
use crate::{cgroup, copy};

/// A process that did not run for so long was stopped, and not just out of luck.
const STOPPED: Duration = Duration::from_millis(400);

/// Runs one row on one engine in `dir`, and prints a [`Measurement`], or `null` for a row that is
/// about what the engine does not have.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let engine = engine(settings)?;
    let measurement = match row(settings)?.name {
        workloads::CONFLICTS => engines::visit_optimistic(engine, RunConflicts(settings))?,
        _ => engines::visit(engine, Run(settings))?,
    };
    println!("{}", serde_json::to_string(&measurement)?);
    Ok(())
}

/// Makes the database in `dir` that others begin with a copy of.
pub(crate) fn load(settings: &Settings) -> Result<()> {
    engines::visit(engine(settings)?, Load(settings))
}

struct Run<'a>(&'a Settings);

impl Visit for Run<'_> {
    type Output = Option<Measurement>;

    fn visit<E: Engine>(self) -> Result<Self::Output> {
        let settings = self.0;
        let row = row(settings)?;
        if !workloads::applies::<E>(row) {
            return Ok(None);
        }
        // Before anything is read or written, so that all pages belong to it.
        if let Some(group) = &settings.child.cgroup {
            cgroup::join(group)?;
        }
        let bench = Arc::new(open::<E>(settings, row)?);
        let watch = Watch::start();
        let done = bench.engine.drive(workloads::run(row, Arc::clone(&bench)))?;
        let stopped = watch.finish();
        let mut settle_seconds = None;
        if row.writes() {
            settle_seconds = Some(settle(&bench.engine, settings.rest())?.as_secs_f64());
        }
        let measurement = measured(settings, &done, stopped, settle_seconds)?;
        close(bench)?;
        Ok(Some(measurement))
    }
}

/// Runs [`conflicts`], and settles nothing: there are ten keys.
struct RunConflicts<'a>(&'a Settings);

impl VisitOptimistic for RunConflicts<'_> {
    type Output = Measurement;

    fn visit<O: Optimistic>(self) -> Result<Self::Output> {
        let settings = self.0;
        let row = row(settings)?;
        if let Some(group) = &settings.child.cgroup {
            cgroup::join(group)?;
        }
        std::fs::create_dir_all(&settings.dir)?;
        let options = setting(settings)?.options(row.shape, settings.n);
        let engine = Arc::new(O::open_optimistic(&settings.dir, &options)?);
        let data = Arc::new(Data::new(settings.seed, row.shape, settings.n));
        let watch = Watch::start();
        let done = conflicts::run(&engine, &data, Duration::from_secs_f64(settings.seconds))?;
        let measurement = measured(settings, &done, watch.finish(), Some(0.0))?;
        Arc::into_inner(engine).ok_or("a thread still holds the engine")?.close_optimistic()?;
        Ok(measurement)
    }
}

fn measured(
    settings: &Settings,
    done: &Done,
    stopped: Duration,
    settle_seconds: Option<f64>,
) -> Result<Measurement> {
    let after = Usage::now();
    Ok(Measurement {
        rate: done.timed.rate(),
        writer: done.writer.as_ref().map(|timed| timed.rate()),
        cut: done.cut,
        stopped_seconds: (stopped >= STOPPED).then_some(stopped.as_secs_f64()),
        written_bytes: after.written_since(&done.before),
        cpu_seconds: (after.cpu - done.before.cpu).as_secs_f64(),
        settle_seconds,
        disk_bytes: usage::disk_bytes(&settings.dir)?,
        peak_bytes: usage::peak_bytes(),
    })
}

struct Load<'a>(&'a Settings);

impl Visit for Load<'_> {
    type Output = ();

    fn visit<E: Engine>(self) -> Result<()> {
        let settings = self.0;
        let bench = Arc::new(open::<E>(settings, row(settings)?)?);
        let load = Arc::clone(&bench);
        bench.engine.drive(async move { load.load().await })?;
        settle(&bench.engine, settings.rest())?;
        close(bench)
    }
}

/// Opens the engine of a row: on a copy of the data, if there is any.
pub(crate) fn open<E: Engine>(settings: &Settings, row: &Row) -> Result<Bench<E>> {
    std::fs::create_dir_all(&settings.dir)?;
    if row.start != Start::Empty
        && let Some(base) = &settings.child.base
    {
        copy::tree(base, &settings.dir, row.writes() || settings.child.cgroup.is_some())?;
    }
    Ok(Bench {
        engine: E::open(&settings.dir, &setting(settings)?.options(row.shape, settings.n))?,
        data: Data::new(settings.seed, row.shape, settings.n),
        duration: Duration::from_secs_f64(settings.seconds),
        load_max: Duration::from_secs_f64(settings.load_seconds),
    })
}

/// Waits until everything is on disk and merged, and says how long that took; the rest that was
/// waited for in the end does not count.
fn settle<E: Engine>(engine: &E, rest: Duration) -> Result<Duration> {
    let start = Instant::now();
    engine.settle()?;
    usage::wait_for_rest(rest);
    Ok(start.elapsed().saturating_sub(rest))
}

fn close<E: Engine>(bench: Arc<Bench<E>>) -> Result<()> {
    let bench = Arc::into_inner(bench).ok_or("a workload still holds the engine")?;
    bench.engine.close()
}

fn engine(settings: &Settings) -> Result<&str> {
    Ok(settings.engines.first().ok_or("a child needs an engine")?)
}

pub(crate) fn row(settings: &Settings) -> Result<&'static Row> {
    workloads::row(settings.rows.first().ok_or("a child needs a row")?)
}

fn setting(settings: &Settings) -> Result<Setting> {
    Ok(*settings.settings.first().ok_or("a child needs a setting")?)
}

/// A process of this program with these arguments, which runs one command on `dir`.
pub(crate) fn command(
    command: &str,
    settings: &Settings,
    what: (&str, &Row, Setting),
    dir: &Path,
) -> Result<std::process::Command> {
    let (engine, row, setting) = what;
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.arg(command).args(arguments(settings, engine, row, setting));
    child.arg(prefixed("dir=", dir));
    Ok(child)
}

/// Those that a child needs to do the same as its parent.
pub(crate) fn arguments(
    settings: &Settings,
    engine: &str,
    row: &Row,
    setting: Setting,
) -> [String; 8] {
    [
        format!("engine={engine}"),
        format!("row={}", row.name),
        format!("setting={}", setting.name()),
        format!("n={}", settings.n),
        format!("seed={}", settings.seed),
        format!("seconds={}", settings.seconds),
        format!("load_seconds={}", settings.load_seconds),
        format!("rest_ms={}", settings.rest_ms),
    ]
}

/// An argument whose value is a path.
pub(crate) fn prefixed(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}
