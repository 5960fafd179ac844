//! The runs of a database drawn as layers: newest on top, each as wide as it is large, what merges
//! have trimmed off in a lighter shade.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use alluvium::SegmentInfo;

use crate::print::output::{Ink, Look};
use crate::shell::DEFAULT;
use crate::text::escape::escaped;
use crate::text::size::{age, bytes, grouped};

/// Characters of the widest bar.
const CELLS: u64 = 16;

/// Characters of a key that are shown.
const KEY_CHARS: usize = 16;

/// A run, or one segment of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    /// Numbers of its files.
    pub(crate) files: BTreeSet<u64>,
    /// Length of its files, and the part of it that is not trimmed.
    pub(crate) bytes: u64,
    pub(crate) used: u64,
    /// How many of its references are trimmed.
    pub(crate) trimmed: u64,
    /// Whether a merge of it has begun.
    pub(crate) merging: bool,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// The first and the last key, with their keyspaces.
    pub(crate) range: [(String, Vec<u8>); 2],
    /// When the newest of it was made, in milliseconds since 1970.
    pub(crate) created_ms: u64,
}

impl Layer {
    fn segment(info: &SegmentInfo) -> Self {
        Self {
            name: format!("  {:06}", info.number),
            files: [info.number].into(),
            bytes: info.bytes,
            used: if info.trimmed { info.used_bytes.min(info.bytes) } else { info.bytes },
            trimmed: info.trimmed.into(),
            merging: false,
            entries: info.entries,
            tombstones: info.tombstones,
            range: [
                (info.first_keyspace.clone(), info.first_key.clone()),
                (info.last_keyspace.clone(), info.last_key.clone()),
            ],
            created_ms: info.created_ms,
        }
    }

    /// Takes in the next segment of the same run.
    fn extend(&mut self, next: Self) {
        // Each file once, however many parts of it are here.
        if next.files.iter().any(|number| self.files.insert(*number)) {
            self.bytes += next.bytes;
            self.entries += next.entries;
            self.tombstones += next.tombstones;
        }
        self.used += next.used;
        self.trimmed += next.trimmed;
        let [_, last] = next.range;
        self.range[1] = last;
        self.created_ms = self.created_ms.max(next.created_ms);
    }
}

/// The runs, newest first, some of them `merging`; with `all` each is followed by its segments.
pub(crate) fn layers(infos: &[SegmentInfo], merging: &[u64], all: bool) -> Vec<Layer> {
    let mut layers = Vec::new();
    for run in infos.chunk_by(|one, next| one.age == next.age) {
        let mut segments = run.iter().map(Layer::segment);
        let Some(first) = segments.next() else { continue };
        let name = format!("run {}", run[0].run);
        let merging = merging.contains(&run[0].run);
        let mut whole = Layer { name, merging, ..first };
        segments.for_each(|segment| whole.extend(segment));
        layers.push(whole);
        if all {
            layers.extend(run.iter().map(Layer::segment));
        }
    }
    layers
}

/// A line that names the columns, and one for each layer.
pub(crate) fn draw(layers: &[Layer], now_ms: u64, look: Look) -> Vec<String> {
    let largest = layers.iter().map(|layer| layer.bytes).max().unwrap_or(0);
    let columns = [16, 10, 11, 9, 5, 7];
    let head = ["", "bytes", "versions", "deleted", "files", "age"];
    let row = |name: &str, cells: &[String], rest: &str| {
        let mut line = format!("{name:<8} ");
        for (cell, width) in cells.iter().zip(columns) {
            line.push_str(&format!("{cell:>width$} "));
        }
        line + " " + rest
    };
    let mut lines = vec![look.paint(Ink::Title, &row("", &head.map(String::from), "keys"))];
    for layer in layers {
        let [first, last] = layer.range.each_ref().map(|(keyspace, key)| place(keyspace, key));
        let bar = bar(layer.used, layer.bytes, largest);
        let bar = format!("{bar:<width$}", width = CELLS as usize);
        let cells = [
            look.paint(Ink::Bar, &bar),
            bytes(layer.bytes),
            grouped(layer.entries),
            grouped(layer.tombstones),
            layer.files.len().to_string(),
            age(now_ms.saturating_sub(layer.created_ms)),
        ];
        let note = look.paint(Ink::Faint, &note(layer));
        lines.push(row(&layer.name, &cells, &format!("{first} … {last}{note}")));
    }
    lines
}

/// What merges are doing to a layer, or have done.
fn note(layer: &Layer) -> String {
    let trimmed = format!("{} trimmed, {} in use", layer.trimmed, bytes(layer.used));
    match (layer.merging, layer.trimmed > 0) {
        (false, false) => String::new(),
        (true, false) => "  (merging)".into(),
        (false, true) => format!("  ({trimmed})"),
        (true, true) => format!("  (merging; {trimmed})"),
    }
}

/// A bar in eighths of a character, and behind it, in whole light ones, what is not `used`. The
/// smallest part takes one eighth.
fn bar(used: u64, bytes: u64, largest: u64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = |bytes: u64| {
        let eighths = u128::from(bytes) * u128::from(CELLS * 8) / u128::from(largest.max(1));
        (eighths as usize).max(1)
    };
    let solid = eighths(used);
    let light = eighths(bytes).div_ceil(8) - solid.div_ceil(8);
    format!("{}{}{}", "█".repeat(solid / 8), PARTS[solid % 8], "░".repeat(light))
}

/// A key, cut short, with its keyspace where that is not the default.
fn place(keyspace: &str, key: &[u8]) -> String {
    let mut key = escaped(key);
    if key.chars().count() > KEY_CHARS {
        key = key.chars().take(KEY_CHARS - 1).chain(['…']).collect();
    }
    match keyspace {
        DEFAULT => key,
        _ => format!("{}/{key}", escaped(keyspace.as_bytes())),
    }
}
