//! `source`, `timer` and `exit`: commands about the session itself.

use super::spec::{Given, Outcome, Read, done, job};
use crate::text::escape::escaped;

pub(super) const SWITCH: &[&str] = &["on", "off"];

pub(super) fn source(given: &mut Given) -> Read {
    let file = given.file()?;
    job(|_, _| Ok(Outcome::Source(file)))
}

pub(super) fn timer(given: &mut Given) -> Read {
    let word = given.needed();
    let on = match word.to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return Err(format!("write on or off, and not {}", escaped(&word))),
    };
    done(move |shell, out| {
        shell.timer = on;
        out.ok()?;
        Ok(())
    })
}

pub(super) fn exit(_: &mut Given) -> Read {
    job(|_, _| Ok(Outcome::Exit))
}
