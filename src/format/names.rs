//! The names of the files in a database's directory.
//!
//! | name | file |
//! |---|---|
//! | `LOCK` | the advisory lock |
//! | `CURRENT` | which manifest counts |
//! | `CURRENT.tmp` | the next `CURRENT`, before it is renamed |
//! | `WITNESS` | how far log and manifest were known to be durable |
//! | `MANIFEST-000001` | a manifest, by number |
//! | `000001.seg` | a segment, by number |
//! | `000001.wal` | a log file, by slot; its header says which log it holds |
//! | `000001.log` | the same, as it was called at first: read, and removed once it is dead |
//!
//! Programs that look after logs, by cutting them short for instance, take `*.log` for theirs.
//!
//! Numbers are decimal, padded with zeros to six digits, and longer where they need to be. A name
//! that is not spelled exactly so, or has a number of 2^63 or more, belongs to somebody else and is
//! left alone; so is a file whose first bytes are not of this database, whatever its name.

use crate::ids::FileNumber;

/// A file of the engine, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileName {
    Lock,
    Current,
    CurrentTmp,
    Witness,
    Manifest(FileNumber),
    Segment(FileNumber),
    /// A log file keeps its slot's name for life, whichever log it holds.
    LogSlot(u64),
    /// A log file with the suffix that they had at first.
    OldLogSlot(u64),
}

/// Where numbers end, so that there is always a next one.
const NUMBER_END: u64 = 1 << 63;

/// The numbers of new files go on above those that are there, of files of others too, but for
/// numbers from here on, which nobody counts up to: above them there might be no name of ours.
pub(crate) const NUMBERS_SEEN_END: u64 = 1 << 62;

impl FileName {
    /// How the file is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Lock => "LOCK".to_owned(),
            Self::Current => "CURRENT".to_owned(),
            Self::CurrentTmp => "CURRENT.tmp".to_owned(),
            Self::Witness => "WITNESS".to_owned(),
            Self::Manifest(FileNumber(number)) => format!("MANIFEST-{number:06}"),
            Self::Segment(FileNumber(number)) => format!("{number:06}.seg"),
            Self::LogSlot(slot) => format!("{slot:06}.wal"),
            Self::OldLogSlot(slot) => format!("{slot:06}.log"),
        }
    }

    /// The file with this name, if it is one of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let parsed = match name {
            "LOCK" => Self::Lock,
            "CURRENT" => Self::Current,
            "CURRENT.tmp" => Self::CurrentTmp,
            "WITNESS" => Self::Witness,
            _ => {
                if let Some(digits) = name.strip_prefix("MANIFEST-") {
                    Self::Manifest(FileNumber(number(digits)?))
                } else if let Some(digits) = name.strip_suffix(".seg") {
                    Self::Segment(FileNumber(number(digits)?))
                } else if let Some(digits) = name.strip_suffix(".wal") {
                    Self::LogSlot(number(digits)?)
                } else {
                    Self::OldLogSlot(number(name.strip_suffix(".log")?)?)
                }
            }
        };
        // Refuses what the number parser lets through: signs, missing and extra zeros.
        (parsed.name() == name).then_some(parsed)
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|&number| number < NUMBER_END)
}

#[cfg(test)]
mod tests;
