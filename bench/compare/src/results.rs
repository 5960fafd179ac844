//! The results of a run, as they are kept.

use serde::{Deserialize, Serialize};

use crate::engines;
use crate::machine;
use crate::measure::Measurement;
use crate::settings::{Setting, Settings};
use crate::stats::median;
use crate::workloads::Row;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) command: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    pub(crate) n: u64,
    pub(crate) rounds: usize,
    /// In the order of the tables.
    pub(crate) engines: Vec<EngineOf>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<String>,
    /// Of `counts`, which is a run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Counts>,
    pub(crate) taken: Vec<Taken>,
}

/// Instructions and cache misses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) n: u64,
    pub(crate) lines: Vec<Count>,
}

/// Of one operation on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) what: String,
    /// The title of the engine; none for the loop around an operation.
    pub(crate) engine: Option<String>,
    pub(crate) instructions: f64,
    pub(crate) last_level_misses: f64,
    pub(crate) first_level_misses: f64,
}

/// An engine of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EngineOf {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) versions: String,
}

/// One measurement, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) setting: String,
    pub(crate) row: String,
    pub(crate) engine: String,
    pub(crate) round: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
    #[serde(flatten)]
    pub(crate) measurement: Option<Measurement>,
}

impl Results {
    pub(crate) fn new(settings: &Settings) -> Self {
        let chosen = |engine: &&engines::Description| {
            settings.engines.iter().any(|name| name == engine.name)
        };
        let engine = |engine: &engines::Description| EngineOf {
            name: engine.name.to_owned(),
            title: engine.title.to_owned(),
            versions: engine.versions(),
        };
        Self {
            date: machine::today(),
            machine: machine::describe(&settings.dir),
            command: command("", settings),
            note: settings.note.clone(),
            n: settings.n,
            rounds: settings.rounds,
            engines: engines::ALL.iter().filter(chosen).map(engine).collect(),
            left_out: Vec::new(),
            counts: None,
            taken: Vec::new(),
        }
    }

    /// All rounds of one cell.
    pub(crate) fn cell<'a>(&'a self, setting: Setting, row: &'a Row, engine: &'a str) -> Cell<'a> {
        let mut cell = Cell { measurements: Vec::new(), failed: None };
        for taken in &self.taken {
            if taken.setting == setting.name() && taken.row == row.name && taken.engine == engine {
                cell.measurements.extend(&taken.measurement);
                cell.failed = cell.failed.or(taken.failed.as_deref());
            }
        }
        cell
    }

    /// Whether there is anything of a setting.
    pub(crate) fn has(&self, setting: Setting) -> bool {
        self.taken.iter().any(|taken| taken.setting == setting.name())
    }
}

/// The rounds of one row on one engine.
pub(crate) struct Cell<'a> {
    pub(crate) measurements: Vec<&'a Measurement>,
    pub(crate) failed: Option<&'a str>,
}

impl Cell<'_> {
    /// The middle of what each round has of it.
    pub(crate) fn median(&self, of: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        median(self.measurements.iter().filter_map(|measurement| of(measurement)))
    }

    /// Operations in a second.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.median(|measurement| Some(measurement.rate.per_second()))
    }

    /// The smallest and the largest rate of a round.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let rates = self.measurements.iter().map(|measurement| measurement.rate.per_second());
        rates.fold(None, |range, rate| {
            let (low, high) = range.unwrap_or((rate, rate));
            Some((rate.min(low), rate.max(high)))
        })
    }

    /// Whether a round was cut by the clock.
    pub(crate) fn is_cut(&self) -> bool {
        self.measurements.iter().any(|measurement| measurement.cut)
    }
}

/// What was typed, without names of directories.
pub(crate) fn command(name: &str, settings: &Settings) -> String {
    let features = if cfg!(feature = "rocksdb") { " --features rocksdb" } else { "" };
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    format!("cargo run --release -p alluvium-compare{features} --{name}{}", settings.command)
}
