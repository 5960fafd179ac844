//! What `import` and `export` say of formats.

use super::spec::Given;
use crate::rows::Format;
use crate::text::escape::escaped;

/// The format that was asked for.
pub(super) fn format_option(given: &mut Given) -> Result<Option<Format>, String> {
    let Some(name) = given.option("--format") else { return Ok(None) };
    let format = std::str::from_utf8(&name).ok().and_then(Format::named);
    let wrong = || {
        let got = escaped(&name);
        format!("--format takes {}, and got {got:?}", one_of(Format::NAMES))
    };
    format.map(Some).ok_or_else(wrong)
}

/// The complaint about a file whose name promises no format.
pub(super) fn untold(name: &str) -> String {
    let formats = one_of(Format::NAMES);
    format!("cannot tell the format of {name} by its extension: add --format {formats}")
}

/// `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    }
}
