//! Keyspaces, snapshots, transactions and batches: commands that change what later ones work on.

use std::io::Write;

use serde_json::json;

use super::spec::{Given, Outcome, Read, done, job, utf8};
use crate::print::output::{Ink, Output};
use crate::shell::{Batch, Create, DEFAULT, Failure, Pending, Shell, no_keyspace, no_snapshot};
use crate::text::escape::escaped;

pub(super) fn keyspaces(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    for name in shell.db.keyspaces() {
        let used = name == shell.keyspace.name();
        let star = if used { "*" } else { " " };
        let text = format!("{star} {}", out.look.paint(Ink::Key, &escaped(name.as_bytes())));
        out.say(&text, || json!({"keyspace": name, "used": used}))?;
    }
    Ok(())
}

/// `use`, which makes a keyspace once a person has said yes.
pub(super) fn enter(given: &mut Given) -> Read {
    let name = given.name()?;
    let create = given.flag("--create");
    job(move |shell, out| {
        let new = !shell.has_keyspace(&name);
        match shell.create {
            Create::Never if new => Err(no_keyspace(shell, &name).into()),
            Create::Asked if new && !create => {
                let shown = escaped(name.as_bytes());
                Ok(Outcome::Confirm {
                    question: format!("there is no keyspace {shown}: make it?"),
                    no: no_keyspace(shell, &name).into(),
                    yes: Box::new(move |shell, out| go(shell, &name, out)),
                })
            }
            _ => go(shell, &name, out),
        }
    })
}

/// Makes a keyspace the one in use; a missing one is made.
fn go(shell: &mut Shell, name: &str, out: &mut Output<'_>) -> Result<Outcome, Failure> {
    let new = !shell.has_keyspace(name);
    shell.keyspace = shell.db.keyspace(name)?;
    let made = if new { ", which is new" } else { "" };
    let text = format!("now in {}{made}", escaped(name.as_bytes()));
    out.say(&text, || json!({"keyspace": name, "new": new}))?;
    Ok(Outcome::Done)
}

pub(super) fn drop_keyspace(given: &mut Given) -> Read {
    let name = given.name()?;
    done(move |shell, out| drop_named(shell, &name, out))
}

fn drop_named(shell: &mut Shell, name: &str, out: &mut Output<'_>) -> Result<(), Failure> {
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

pub(super) fn rename(given: &mut Given) -> Read {
    let from = given.name()?;
    let to = given.name()?;
    done(move |shell, out| {
        shell.db.rename_keyspace(&from, &to)?;
        let shown = [&from, &to].map(|name| escaped(name.as_bytes()));
        let text = format!("renamed {} to {}", shown[0], shown[1]);
        out.say(&text, || json!({"renamed": from, "keyspace": to}))?;
        Ok(())
    })
}

pub(super) fn snapshot(given: &mut Given) -> Read {
    let name = given.next().map(utf8).transpose()?;
    done(|shell, out| {
        let (name, sequence) = shell.snapshot(name)?;
        let text = format!("{} at sequence {sequence}", escaped(name.as_bytes()));
        out.say(&text, || json!({"snapshot": name, "sequence": sequence}))?;
        Ok(())
    })
}

pub(super) fn snapshots(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
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

pub(super) fn release(given: &mut Given) -> Read {
    let name = given.name()?;
    done(move |shell, out| {
        shell.snapshots.remove(&name).ok_or_else(|| no_snapshot(&name))?;
        out.ok()?;
        Ok(())
    })
}

pub(super) fn begin(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let transaction = shell.db.transaction();
    let sequence = transaction.snapshot().sequence().0;
    shell.open(Pending::of_transaction(transaction))?;
    let text = format!("a transaction at sequence {sequence}, until commit or rollback");
    out.say(&text, || json!({"transaction": 0, "sequence": sequence}))?;
    Ok(())
}

pub(super) fn savepoint(given: &mut Given) -> Read {
    let name = given.next().map(utf8).transpose()?;
    done(|shell, out| {
        let name = shell.savepoint(name)?;
        let text = format!("savepoint {}", escaped(name.as_bytes()));
        out.say(&text, || json!({"savepoint": name}))?;
        Ok(())
    })
}

pub(super) fn batch(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    shell.open(Pending::Batch(Batch::default()))?;
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

pub(super) fn rollback(given: &mut Given) -> Read {
    let name = given.next().map(utf8).transpose()?;
    done(move |shell, out| match name {
        Some(name) => rollback_to(shell, &name, out),
        None => give_up(shell, out),
    })
}

fn rollback_to(shell: &mut Shell, name: &str, out: &mut Output<'_>) -> Result<(), Failure> {
    let (undone, left) = shell.rollback_to(name)?;
    let text = format!("undid {undone}, {left} left");
    out.say(&text, || json!({"rolled_back": undone, "transaction": left}))?;
    Ok(())
}

fn give_up(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let given_up = shell.give_up()?;
    let count = given_up.len();
    match given_up {
        Pending::Batch(_) => {
            out.say(&format!("forgot {count}"), || json!({"aborted": count}))?;
        }
        Pending::Transaction(_) => {
            out.say(&format!("rolled back {count}"), || json!({"rolled_back": count}))?;
        }
    }
    Ok(())
}
