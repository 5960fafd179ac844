//! `explain`: what a get of one key looks at.

use std::io::Write;

use alluvium::{ExplainBlock, ExplainFilter, ExplainLayer, ExplainSource, ExplainVersion};
use serde_json::{Value, json};

use super::spec::{Given, Read, done};
use crate::print::output::{self, Output};
use crate::shell::{Failure, Shell};

pub(super) fn explain(given: &mut Given) -> Read {
    let key = given.needed();
    let at = given.text("--at")?;
    done(move |shell, out| print(shell, &key, at.as_deref(), out))
}

fn print(shell: &Shell, key: &[u8], at: Option<&str>, out: &mut Output<'_>) -> Result<(), Failure> {
    let explained = shell.explain(key, at)?;
    if !out.look.json {
        writeln!(out, "{explained}")?;
        return Ok(());
    }
    let found = explained
        .found
        .as_ref()
        .map(|found| json!({"layer": found.layer, "version": version(&found.version)}));
    let answer = json!({
        "keyspace": explained.keyspace,
        "key": output::bytes(&explained.key),
        "at": explained.at.0,
        "layers": explained.layers.iter().map(layer).collect::<Vec<_>>(),
        "found": found,
    });
    writeln!(out, "{answer}")?;
    Ok(())
}

fn layer(layer: &ExplainLayer) -> Value {
    let filter = match layer.filter {
        ExplainFilter::OutOfRange => "out of range",
        ExplainFilter::RulesOut => "rules out",
        ExplainFilter::Passes => "passes",
        _ => "unknown",
    };
    let block = |block: &ExplainBlock| json!({"number": block.number, "cached": block.cached});
    json!({
        "source": source(&layer.source),
        "filter": filter,
        "false_positive": layer.false_positive(),
        "blocks": layer.blocks.iter().map(block).collect::<Vec<_>>(),
        "versions": layer.versions.iter().map(version).collect::<Vec<_>>(),
        "reached": layer.reached,
    })
}

fn source(source: &ExplainSource) -> Value {
    match *source {
        ExplainSource::Memtable { sealed, versions, bytes, .. } => {
            json!({"memtable": {"sealed": sealed, "versions": versions, "bytes": bytes}})
        }
        ExplainSource::Run { id, segment, segments, .. } => {
            json!({"run": {"id": id, "segment": segment, "segments": segments}})
        }
        _ => Value::Null,
    }
}

/// A tombstone has no length.
fn version(version: &ExplainVersion) -> Value {
    json!({"sequence": version.sequence.0, "value_bytes": version.value_bytes})
}
