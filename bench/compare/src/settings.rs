//! The arguments: `name=value`, with or without leading dashes, as those of `alluvium-bench`.

use std::path::PathBuf;
use std::time::Duration;

use crate::data::Shape;
use crate::engine::Options;
use crate::{Result, engines, workloads};

/// What the commands may be told. Fields are documented in the help text.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) n: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) load_seconds: f64,
    pub(crate) rest_ms: u64,
    pub(crate) seed: u64,
    pub(crate) settings: Vec<Setting>,
    pub(crate) engines: Vec<String>,
    pub(crate) rows: Vec<String>,
    pub(crate) dir: PathBuf,
    pub(crate) out: Option<PathBuf>,
    pub(crate) input: Option<PathBuf>,
    pub(crate) note: String,
    /// As it was called, without names of directories.
    pub(crate) command: String,
    /// Of a child alone.
    pub(crate) child: Child,
}

/// What the program tells itself when it starts itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Child {
    /// A database to begin with a copy of.
    pub(crate) base: Option<PathBuf>,
    /// A control group to join first.
    pub(crate) cgroup: Option<PathBuf>,
}

/// How much memory there is for how much data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Setting {
    Fits,
    Default,
    Limited,
}

impl Setting {
    pub(crate) const ALL: [Self; 3] = [Self::Fits, Self::Default, Self::Limited];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Default => "default",
            Self::Limited => "limited",
        }
    }

    /// A heading, and what it stands for.
    pub(crate) fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Fits => ("Everything fits", "block cache 2 GiB, nothing compressed"),
            Self::Default => (
                "A block cache of 256 MiB",
                "LZ4 where there is a choice, files in the system's page cache",
            ),
            Self::Limited => (
                "One memory limit",
                "a control group holds process and page cache of each engine to half of the data; a \
                 quarter of that is block cache; LZ4 where there is a choice",
            ),
        }
    }

    pub(crate) fn compressed(self) -> bool {
        self != Self::Fits
    }

    /// The bound of the control group, if there is one.
    pub(crate) fn memory_bytes(self, data_bytes: u64) -> Option<u64> {
        (self == Self::Limited).then_some(data_bytes / 2)
    }

    pub(crate) fn options(self, shape: Shape, n: u64) -> Options {
        let data_bytes = shape.bytes(n);
        let limit = self.memory_bytes(data_bytes);
        Options {
            cache_bytes: match (self, limit) {
                (Self::Fits, _) => 2 << 30,
                (_, None) => 256 << 20,
                (_, Some(limit)) => limit / 4,
            },
            write_buffer_bytes: limit
                .map_or(64 << 20, |limit| (limit / 16).clamp(4 << 20, 64 << 20)),
            compressed: self.compressed(),
            limited: limit.is_some(),
            data_bytes,
        }
    }
}

impl Settings {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut settings = Self {
            n: 5_000_000,
            rounds: 3,
            seconds: 2.0,
            load_seconds: 30.0,
            rest_ms: 2_000,
            seed: 1,
            settings: Setting::ALL.to_vec(),
            engines: engines::ALL.iter().map(|engine| engine.name.to_owned()).collect(),
            rows: workloads::ALL.iter().map(|row| row.name.to_owned()).collect(),
            dir: std::env::temp_dir(),
            out: None,
            input: None,
            note: String::new(),
            command: String::new(),
            child: Child::default(),
        };
        for arg in args {
            let (name, value) = arg
                .trim_start_matches('-')
                .split_once('=')
                .ok_or_else(|| format!("`{arg}` is not NAME=VALUE"))?;
            settings.set(name, value).map_err(|error| format!("`{arg}`: {error}"))?;
            if !["dir", "out", "note"].contains(&name) {
                settings.command.push(' ');
                settings.command.push_str(&arg);
            }
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let number = || value.replace('_', "").parse::<u64>();
        match name {
            "n" => self.n = number()?.max(100),
            "rounds" => self.rounds = usize::try_from(number()?)?.max(1),
            "seconds" => self.seconds = value.parse::<f64>()?.clamp(0.001, 3_600.0),
            "load_seconds" => self.load_seconds = value.parse::<f64>()?.clamp(0.001, 36_000.0),
            "rest_ms" => self.rest_ms = number()?,
            "seed" => self.seed = number()?,
            "settings" | "setting" => {
                let find = |name: &str| Setting::ALL.into_iter().find(|known| known.name() == name);
                self.settings = value
                    .split(',')
                    .map(|name| find(name).ok_or_else(|| format!("no setting `{name}`").into()))
                    .collect::<Result<_>>()?;
            }
            "engines" | "engine" => {
                let known = engines::ALL.iter().map(|engine| engine.name);
                self.engines = chosen(value, &known.collect::<Vec<_>>())?;
            }
            "rows" | "row" => {
                let known = workloads::ALL.iter().map(|row| row.name);
                self.rows = chosen(value, &known.collect::<Vec<_>>())?;
            }
            "dir" => self.dir = PathBuf::from(value),
            "out" => self.out = Some(PathBuf::from(value)),
            "in" => self.input = Some(PathBuf::from(value)),
            "note" => self.note = value.to_owned(),
            "base" => self.child.base = Some(PathBuf::from(value)),
            "cgroup" => self.child.cgroup = Some(PathBuf::from(value)),
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
    }

    /// How long a process does nothing before it counts as at rest.
    pub(crate) fn rest(&self) -> Duration {
        Duration::from_millis(self.rest_ms)
    }
}

/// Names out of those that are known, in the order of those.
fn chosen(value: &str, known: &[&str]) -> Result<Vec<String>> {
    let asked: Vec<&str> = value.split(',').collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no `{unknown}`; there are {}", known.join(", ")).into());
    }
    Ok(known.iter().filter(|name| asked.contains(name)).map(|&name| name.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Settings> {
        Settings::parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn settings_are_read_and_mistakes_are_named() {
        let got =
            parse(&["n=1_000", "--engines=lmdb,alluvium", "settings=fits", "dir=/x"]).unwrap();
        assert_eq!((got.n, got.settings), (1_000, vec![Setting::Fits]));
        assert_eq!(got.engines, ["alluvium", "lmdb"]);
        assert_eq!(got.command, " n=1_000 --engines=lmdb,alluvium settings=fits");
        for bad in ["n", "n=x", "nn=1", "n=-1", "engines=oracle", "rows=", "settings=large"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_half_of_the_data() {
        let options = Setting::Limited.options(Shape::Small, 10_000_000);
        assert_eq!(Setting::Limited.memory_bytes(1_200), Some(600));
        assert_eq!(Setting::Default.memory_bytes(1_200), None);
        assert_eq!((options.cache_bytes, options.limited), (150_000_000, true));
    }
}
