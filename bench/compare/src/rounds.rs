//! A run: settings, rounds, rows and engines, each in a process of its own, one after another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::Result;
use crate::cgroup::Group;
use crate::data::Shape;
use crate::measure::Measurement;
use crate::results::{Results, Taken};
use crate::settings::{Setting, Settings};
use crate::workloads::{self, Row, Start};
use crate::{child, report};

/// Less memory than this is too little for most engines to run at all.
const LIMIT_BYTES_MIN: u64 = 128 << 20;

/// How often a row is taken again during which the process was stopped from outside.
const REPEATS_MAX: u32 = 3;

pub(crate) fn run(settings: &Settings) -> Result<()> {
    std::fs::create_dir_all(&settings.dir)?;
    let dir = tempfile::Builder::new().prefix("alluvium-compare-").tempdir_in(&settings.dir)?;
    let mut results = Results::new(settings);
    let mut run = Run { settings, dir: dir.path(), bases: HashMap::new() };
    for &setting in &settings.settings {
        if let Some(reason) = refused(setting, settings.n) {
            eprintln!("left out: {reason}");
            results.left_out.push(reason);
            continue;
        }
        for round in 0..settings.rounds {
            for name in &settings.rows {
                run.row(setting, workloads::row(name)?, round, &mut results)?;
            }
        }
    }
    dir.close()?;
    let out = settings.out.as_deref();
    results.counts = report::earlier_counts(out);
    report::write(&results, out)
}

/// Why a setting cannot be had here, if so.
fn refused(setting: Setting, n: u64) -> Option<String> {
    let limit = setting.memory_bytes(Shape::Small.bytes(n))?;
    if limit < LIMIT_BYTES_MIN {
        return Some(format!(
            "setting `{}`: {n} keys make for a limit of {} MiB, and {} is the least that makes sense",
            setting.name(),
            limit >> 20,
            LIMIT_BYTES_MIN >> 20
        ));
    }
    let error = Group::make(limit).err()?;
    Some(format!("setting `{}`: {error}", setting.name()))
}

struct Run<'a> {
    settings: &'a Settings,
    dir: &'a Path,
    /// What was loaded so far: the same files serve all rows of an engine.
    bases: HashMap<(String, Shape, bool), PathBuf>,
}

impl Run<'_> {
    /// One row in one round, on one engine after another.
    fn row(
        &mut self,
        setting: Setting,
        row: &'static Row,
        round: usize,
        results: &mut Results,
    ) -> Result<()> {
        for engine in &self.settings.engines {
            let base = match row.start {
                Start::Empty => None,
                _ => Some(self.base(engine, row, setting)?),
            };
            let mut measured = self.measure(engine, row, setting, base.as_deref());
            for _ in 0..REPEATS_MAX {
                let Ok(Some(Measurement { stopped_seconds: Some(seconds), .. })) = &measured else {
                    break;
                };
                eprintln!("{engine}, {}: stopped for {seconds:.1} s, taken again", row.name);
                measured = self.measure(engine, row, setting, base.as_deref());
            }
            if let Ok(Some(measurement)) = &mut measured
                && (round > 0 || !report::has_line(row))
            {
                measurement.rate.points.clear();
                measurement.writer.iter_mut().for_each(|writer| writer.points.clear());
            }
            let (measurement, failed) = match measured {
                Ok(None) => continue,
                Ok(measurement) => (measurement, None),
                // Less memory than some engines need is a result of theirs.
                Err(error) if setting == Setting::Limited => (None, Some(error.to_string())),
                Err(error) => return Err(error),
            };
            let rate =
                measurement.as_ref().map_or(0.0, |measurement| measurement.rate.per_second());
            let place = format!("{} round {} {}", setting.name(), round + 1, row.name);
            eprintln!("{place:<36} {engine:<10} {rate:>14.0} {}", row.unit);
            results.taken.push(Taken {
                setting: setting.name().to_owned(),
                row: row.name.to_owned(),
                engine: engine.clone(),
                round,
                failed,
                measurement,
            });
        }
        Ok(())
    }

    fn measure(
        &self,
        engine: &str,
        row: &'static Row,
        setting: Setting,
        base: Option<&Path>,
    ) -> Result<Option<Measurement>> {
        let dir = self.dir.join("measured");
        let mut command = child::command("child", self.settings, (engine, row, setting), &dir)?;
        if let Some(base) = base {
            command.arg(child::prefixed("base=", base));
        }
        let limit = setting.memory_bytes(row.shape.bytes(self.settings.n));
        let group = limit.map(Group::make).transpose()?;
        if let Some(group) = &group {
            command.arg(child::prefixed("cgroup=", group.path()));
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        if !output.status.success() {
            return Err(format!("{engine}, {}: {}", row.name, output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A database with all keys of the row's shape, settled and closed.
    fn base(&mut self, engine: &str, row: &Row, setting: Setting) -> Result<PathBuf> {
        let key = (engine.to_owned(), row.shape, setting.compressed());
        if let Some(base) = self.bases.get(&key) {
            return Ok(base.clone());
        }
        // What is loaded without a limit serves with one.
        let setting = if setting.compressed() { Setting::Default } else { Setting::Fits };
        let dir = self.dir.join(format!("{engine}-{:?}-{}", row.shape, setting.name()));
        eprintln!("loading {engine}, {} keys of {:?}", row.shape.count(self.settings.n), row.shape);
        let command = child::command("child-load", self.settings, (engine, row, setting), &dir);
        let status = command?.stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("{engine} could not be loaded: {status}").into());
        }
        self.bases.insert(key, dir.clone());
        Ok(dir)
    }
}
