//! Keyspaces, snapshots and batches: what changes what later commands work on.

use std::io::Write;

use alluvium::WriteBatch;
use serde_json::json;

use crate::print::output::{Ink, Output};
use crate::shell::Create;
use crate::shell::Failure;
use crate::shell::{DEFAULT, Shell, no_keyspace, no_snapshot};
use crate::text::escape::escaped;

pub(super) fn keyspaces(shell: &Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    for name in shell.db.keyspaces() {
        let used = name == shell.keyspace.name();
        let star = if used { "*" } else { " " };
        let text = format!("{star} {}", out.look.paint(Ink::Key, &escaped(name.as_bytes())));
        out.say(&text, || json!({"keyspace": name, "used": used}))?;
    }
    Ok(())
}

pub(super) fn enter(
    shell: &mut Shell,
    name: &str,
    create: bool,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let new = !shell.has_keyspace(name);
    let may = match shell.create {
        Create::Never => false,
        Create::Asked => create,
        Create::Always => true,
    };
    if new && !may {
        return Err(no_keyspace(shell, name).into());
    }
    shell.keyspace = shell.db.keyspace(name)?;
    let made = if new { ", which is new" } else { "" };
    let text = format!("now in {}{made}", escaped(name.as_bytes()));
    out.say(&text, || json!({"keyspace": name, "new": new}))?;
    Ok(())
}

pub(super) fn drop_keyspace(
    shell: &mut Shell,
    name: &str,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    shell.db.drop_keyspace(name)?;
    let mut text = format!("dropped {}", escaped(name.as_bytes()));
    if shell.keyspace.name() == name {
        shell.keyspace = shell.db.keyspace(DEFAULT)?;
        text.push_str(", now in default");
    }
    let now = shell.keyspace.name();
    out.say(&text, || json!({"dropped": name, "keyspace": now}))?;
    Ok(())
}

pub(super) fn snapshot(
    shell: &mut Shell,
    name: Option<String>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let (name, sequence) = shell.snapshot(name)?;
    let text = format!("{} at sequence {sequence}", escaped(name.as_bytes()));
    out.say(&text, || json!({"snapshot": name, "sequence": sequence}))?;
    Ok(())
}

pub(super) fn snapshots(shell: &Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    if shell.snapshots.is_empty() && !out.look.json {
        writeln!(out, "{}", out.look.paint(Ink::Faint, "(none)"))?;
    }
    for (name, snapshot) in &shell.snapshots {
        let sequence = snapshot.sequence().0;
        let painted = out.look.paint(Ink::Key, &escaped(name.as_bytes()));
        let text = format!("{painted} at sequence {sequence}");
        out.say(&text, || json!({"snapshot": name, "sequence": sequence}))?;
    }
    Ok(())
}

pub(super) fn release(shell: &mut Shell, name: &str, out: &mut Output<'_>) -> Result<(), Failure> {
    shell.snapshots.remove(name).ok_or_else(|| no_snapshot(name))?;
    out.ok()?;
    Ok(())
}

pub(super) fn batch(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    if let Some(batch) = &shell.batch {
        let count = batch.len();
        return Err(format!("there is a batch of {count} already: commit or abort it").into());
    }
    shell.batch = Some(WriteBatch::new());
    let text = "store and delete are collected until commit or abort";
    out.say(text, || json!({"batch": 0}))?;
    Ok(())
}

pub(super) fn commit(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let (count, sequence) = shell.commit()?;
    let sequence = sequence.0;
    let text = format!("committed {count} at sequence {sequence}");
    out.say(&text, || json!({"committed": count, "sequence": sequence}))?;
    Ok(())
}

pub(super) fn abort(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let count = shell.abort()?;
    out.say(&format!("forgot {count}"), || json!({"aborted": count}))?;
    Ok(())
}
