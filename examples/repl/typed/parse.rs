//! What the user typed, as a [`Command`]: the grammar of each command. Pure.
//!
//! Words and quotes are those of [`crate::text::words`], the commands those of
//! [`crate::commands::table`]. A value that does not begin with a quote is the rest of its line,
//! blanks inside kept and those around it dropped, escapes undone: `store k it's 1, 2`. Names of
//! commands may be in upper or lower case; keys are taken as they are. Only a command that has
//! options takes a word that begins with `--` for one, and a quoted word never is one.

use crate::commands::spec::{Dashed, Given, Job, Kind, Makes, Outcome, Run, Spec};
use crate::commands::table::COMMANDS;
use crate::text::escape::escaped;
use crate::text::words::{Word, WordError, Words};

/// Commands that begin with a backslash, as in other programs. They are no words, because a
/// backslash begins an escape.
const BACKSLASHED: &[(&str, &str)] = &[(r"\q", "exit"), (r"\?", "help"), (r"\h", "help")];

/// A command, ready to run.
pub(crate) struct Command {
    /// Whether a script that begins with it makes a missing database.
    pub(crate) makes: bool,
    pub(crate) job: Job,
}

/// Reads one command; `None` if there are only blanks, or a comment.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Command>, WordError> {
    let Some((spec, mut given)) = read(text)? else { return Ok(None) };
    let makes = match spec.makes {
        Makes::Nothing => false,
        Makes::Database => true,
        Makes::With(option) => given.has(option),
    };
    let job: Job = match spec.run {
        Run::Alone(run) => Box::new(move |shell, out| run(shell, out).map(|()| Outcome::Done)),
        Run::Given(read) => read(&mut given)?,
    };
    Ok(Some(Command { makes, job }))
}

/// A command and what it was given.
fn read(text: &[u8]) -> Result<Option<(&'static Spec, Given)>, WordError> {
    let whole = text.trim_ascii();
    if whole.starts_with(b"#") {
        return Ok(None);
    }
    if let Some((_, name)) = BACKSLASHED.iter().find(|(word, _)| word.as_bytes() == whole) {
        let spec = COMMANDS.named(name.as_bytes());
        return Ok(spec.map(|spec| (spec, Given::new(COMMANDS, Vec::new(), Vec::new()))));
    }
    let mut words = Words::new(text);
    let Some(name) = words.next()? else { return Ok(None) };
    let name = name.bytes.to_ascii_lowercase();
    let spec = COMMANDS.meant(&name).ok_or_else(|| COMMANDS.unknown(&name))?;
    Ok(Some((spec, given(spec, &name, &mut words)?)))
}

/// The words and options of a command that was called `name`.
fn given(spec: &'static Spec, name: &[u8], words: &mut Words<'_>) -> Result<Given, WordError> {
    let mut found = Vec::new();
    let mut options: Vec<(&'static str, Vec<u8>)> = Vec::new();
    while let Some(word) = next(spec, found.len(), words)? {
        if word.is_option() && !spec.options.is_empty() {
            let (option, value) = option(spec, &word, words)?;
            if options.iter().any(|(given, _)| *given == option.name) {
                return Err(format!("{} is given twice: {}", option.name, spec.advice()).into());
            }
            options.push((option.name, value));
        } else if found.len() < spec.places.len()
            || spec.places.last().is_some_and(|place| place.many)
        {
            found.push(word.bytes);
        } else {
            let extra = escaped(&word.bytes);
            return Err(format!("{extra} is one word too many: {}", spec.advice()).into());
        }
    }
    check_all_there(spec, found.len(), &options)?;
    options.extend(spec.implied_by(name).map(|option| (option, Vec::new())));
    Ok(Given::new(COMMANDS, found, options))
}

/// Complains about a word that is missing. An option may stand for the last one.
fn check_all_there(
    spec: &Spec,
    found: usize,
    options: &[(&'static str, Vec<u8>)],
) -> Result<(), String> {
    let instead = spec.instead().filter(|it| options.iter().any(|(name, _)| *name == it.name));
    let needed = spec.places.len() - usize::from(instead.is_some());
    if let (Some(option), Some(last)) = (instead, spec.places.last())
        && found > needed
    {
        let what = last.what;
        return Err(format!("a {what} and {} exclude each other: {}", option.name, spec.advice()));
    }
    let Some(place) = spec.places[..needed].get(found).filter(|place| place.needed) else {
        return Ok(());
    };
    let hint = if place.kind == Kind::Rest { r#"; "" is the empty value"# } else { "" };
    Err(format!("the {} is missing: {}{hint}", place.what, spec.advice()))
}

/// The next word, after `found` of them; a rest of the line, unless that begins with an option.
fn next(spec: &Spec, found: usize, words: &mut Words<'_>) -> Result<Option<Word>, WordError> {
    let is_rest = |at: usize| spec.places.get(at).is_some_and(|place| place.kind == Kind::Rest);
    if is_rest(found) && !spec.options.iter().any(|option| words.begin_with(option.name)) {
        return Ok(words.value()?.map(|bytes| Word { bytes, quoted: true }));
    }
    let word = words.next()?;
    // In a command that takes the rest of its line, only its own options are options.
    let has_rest = (0..spec.places.len()).any(is_rest);
    Ok(word.map(|word| Word {
        quoted: word.quoted || (has_rest && spec.option(&word.bytes).is_none()),
        ..word
    }))
}

/// An option of the command with its value.
fn option(
    spec: &'static Spec,
    word: &Word,
    words: &mut Words<'_>,
) -> Result<(&'static Dashed, Vec<u8>), WordError> {
    let Some(option) = spec.option(&word.bytes) else {
        let name = escaped(&word.bytes);
        let advice = spec.advice();
        return Err(format!("no option {name}: {advice}; quotes make it an ordinary word").into());
    };
    if option.value.is_none() {
        return Ok((option, Vec::new()));
    }
    match words.next()? {
        Some(value) => Ok((option, value.bytes)),
        None => Err(format!("{} needs a word behind it: {}", option.name, spec.advice()).into()),
    }
}

#[cfg(test)]
mod tests;
