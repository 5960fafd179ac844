//! Copies of the database.

use alluvium::Checkpoint;
use serde_json::json;

use super::engine::waited;
use super::spec::{Given, Read, done};
use crate::print::output::harmless;
use crate::text::size::{bytes, counted};

pub(super) fn checkpoint(given: &mut Given) -> Read {
    let dir = given.file()?;
    done(move |shell, out| {
        let place = dir.clone();
        let made = waited(shell, "the checkpoint", move |db| db.checkpoint(place))??;
        let Checkpoint { sequence, segments, segment_bytes, log_bytes, .. } = made;
        let text = format!(
            "{} is a database with everything so far: {} of {}, and {} of logs",
            harmless(&dir.display().to_string()),
            counted(segments, "segment"),
            bytes(segment_bytes),
            bytes(log_bytes),
        );
        out.say(&text, || {
            json!({
                "checkpoint": "made", "sequence": sequence.0, "segments": segments,
                "segment_bytes": segment_bytes, "log_bytes": log_bytes,
            })
        })?;
        Ok(())
    })
}
