//! The arguments: `name=value`, with or without leading dashes.
//!
//! Our own: without dashes they are free words to `clap` and `lexopt`, to be taken apart as here.

use std::path::PathBuf;

/// What the commands may be told. Fields are documented in the help text.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) n: u64,
    pub(crate) memory: u64,
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
    pub(crate) breakdown: bool,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
    /// Of `beside`.
    pub(crate) seconds: u64,
    pub(crate) nice: String,
    pub(crate) merge: MergeSettings,
}

/// Those of `merge` alone.
#[derive(Clone, Debug)]
pub(crate) struct MergeSettings {
    pub(crate) part: String,
    pub(crate) flush_kib: u64,
    pub(crate) data: u64,
    pub(crate) passes: u64,
    pub(crate) bandwidth: u64,
    pub(crate) mib: u64,
    pub(crate) puts: u64,
}

impl Default for MergeSettings {
    fn default() -> Self {
        Self {
            part: "all".to_owned(),
            flush_kib: 4 << 10,
            data: 100,
            passes: 3,
            bandwidth: 12,
            mib: 600,
            puts: 20_000,
        }
    }
}

/// As they would be given again.
impl std::fmt::Display for MergeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { part, flush_kib, data, passes, bandwidth, mib, puts } = self;
        write!(f, "part={part} flush_kib={flush_kib} data={data} passes={passes} ")?;
        write!(f, "bandwidth={bandwidth} mib={mib} puts={puts}")
    }
}

impl Settings {
    /// Whether this part of a command is asked for.
    pub(crate) fn takes(&self, part: &str) -> bool {
        ["all", part].contains(&self.merge.part.as_str())
    }

    pub(crate) fn parse(
        args: impl Iterator<Item = String>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut settings = Self {
            n: 5_000_000,
            memory: 400_000,
            threads: 1,
            rounds: 3,
            breakdown: true,
            seed: 1,
            dir: std::env::temp_dir(),
            seconds: 10,
            nice: "0:0,0:10,10:10,19:19".to_owned(),
            merge: MergeSettings::default(),
        };
        for arg in args {
            let (name, value) = arg
                .trim_start_matches('-')
                .split_once('=')
                .ok_or_else(|| format!("`{arg}` is not NAME=VALUE"))?;
            let number = || {
                let digits = value.replace('_', "");
                digits.parse::<u64>().map_err(|error| format!("`{arg}`: {error}"))
            };
            match name {
                "n" => settings.n = number()?.max(1),
                "memory" => settings.memory = number()?.max(1),
                "threads" => settings.threads = usize::try_from(number()?)?.max(1),
                "rounds" => settings.rounds = usize::try_from(number()?)?.max(1),
                "breakdown" => settings.breakdown = number()? != 0,
                "seed" => settings.seed = number()?,
                "dir" => settings.dir = PathBuf::from(value),
                "seconds" => settings.seconds = number()?.max(1),
                "nice" => settings.nice = value.to_owned(),
                "part" => settings.merge.part = value.to_owned(),
                "flush_kib" => settings.merge.flush_kib = number()?.max(64),
                "data" => settings.merge.data = number()?.max(1),
                "passes" => settings.merge.passes = number()?.max(1),
                "bandwidth" => settings.merge.bandwidth = number()?.max(2),
                "mib" => settings.merge.mib = number()?.max(1),
                "puts" => settings.merge.puts = number()?.max(1),
                _ => return Err(format!("there is no setting `{name}`").into()),
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_mistakes_are_named() {
        let parse = |args: &[&str]| Settings::parse(args.iter().map(|arg| (*arg).to_owned()));
        let got = parse(&["n=1_000", "--threads=4", "dir=/x"]).unwrap();
        assert_eq!((got.n, got.threads, got.dir.to_str()), (1_000, 4, Some("/x")));
        for bad in ["n", "n=x", "nn=1", "n=-1"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
