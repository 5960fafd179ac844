//! A look at the start of a file, to refuse what would be stored as garbage without a word.

use super::decode::Encoding;
use super::format::{Columns, Format};

/// How much of the file is looked at.
pub(crate) const HEAD_BYTES: usize = 4096;

/// With fewer pairs of bytes no pattern of zeros is looked for.
const PAIRS_MIN: usize = 4;

/// Refuses a file whose first bytes are `head` if it looks like UTF-16 and nobody has said so.
pub(crate) fn sniff_encoding(head: &[u8], encoding: Option<Encoding>) -> Result<(), String> {
    match utf_16(head).filter(|_| encoding.is_none()) {
        Some(name) => {
            Err(format!("it looks like UTF-16: add --encoding {name}, or utf-8 to insist"))
        }
        None => Ok(()),
    }
}

/// Refuses a file that begins with the text `head` if another separator seems to stand between its
/// columns; the message says what to add. `format_given` is whether the user has named the format.
pub(crate) fn sniff(
    head: &[u8],
    format: Format,
    format_given: bool,
    columns: &Columns,
) -> Result<(), String> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    match (separator(first), columns.delimiter) {
        (Some(names), Some(given)) if names == given => return Ok(()),
        (Some(names), _) if format != Format::JsonLines => {
            let shown = shown(names);
            return Err(format!(
                "its first line says that {shown} stands between columns: add --delimiter {shown}, \
                 and that line is left out"
            ));
        }
        _ => {}
    }
    if columns.delimiter.is_some() || format == Format::JsonLines {
        return Ok(());
    }
    let usual = if format == Format::Csv { b',' } else { b'\t' };
    // A list of words may well hold commas, if the user says that it is one.
    if format == Format::Tsv && format_given {
        return Ok(());
    }
    let suspects: &[u8] = if format == Format::Csv { b";\t|" } else { b";,|" };
    match suspects.iter().find(|&&suspect| separates(text, suspect, usual, format)) {
        Some(&suspect) => {
            let other = shown(suspect);
            let own = shown(usual);
            let insist = match format {
                Format::Csv => format!("--delimiter {own}"),
                _ => "--format tsv".into(),
            };
            Err(format!(
                "{other} seems to stand between its columns: add --delimiter {other}, or {insist} \
                 to insist"
            ))
        }
        None => Ok(()),
    }
}

/// How a delimiter is written for the option.
fn shown(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tab".into(),
        other => format!("'{}'", other.escape_ascii()),
    }
}

/// The encoding, if a byte order mark or the zeros of Latin letters show it.
fn utf_16(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, ..] => return Some("utf-16le"),
        [0xfe, 0xff, ..] => return Some("utf-16be"),
        _ => {}
    }
    let pairs = head.len() / 2;
    if pairs < PAIRS_MIN {
        return None;
    }
    let zeros = |odd: usize| {
        let at = head[..2 * pairs].iter().skip(odd).step_by(2);
        at.filter(|&&byte| byte == 0).count()
    };
    // Latin text has a zero in nearly each pair, always at the same place.
    match (zeros(0), zeros(1)) {
        (0, low) if 2 * low > pairs => Some("utf-16le"),
        (high, 0) if 2 * high > pairs => Some("utf-16be"),
        _ => None,
    }
}

/// The separator that a line of a spreadsheet names, as in `sep=;`.
pub(super) fn separator(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (name, rest) = line.split_at_checked(4)?;
    if !name.eq_ignore_ascii_case(b"sep=") {
        return None;
    }
    match *rest {
        [one] => Some(one),
        _ => None,
    }
}

/// Whether `suspect` stands before the usual delimiter, or without one, the same number of times in
/// each whole line.
fn separates(text: &[u8], suspect: u8, usual: u8, format: Format) -> bool {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if lines.len() > 1 {
        // What follows the last newline may be cut short.
        lines.pop();
    }
    let lines = lines.into_iter().filter(|line| !line.trim_ascii().is_empty()).take(50);
    let mut counts = Vec::new();
    for line in lines {
        let mut quoted = false;
        let mut count = 0;
        let mut first = None;
        for &byte in line {
            match byte {
                b'"' if format == Format::Csv => quoted = !quoted,
                _ if quoted => {}
                _ if byte == suspect => {
                    count += 1;
                    first.get_or_insert(suspect);
                }
                _ if byte == usual => {
                    first.get_or_insert(usual);
                }
                _ => {}
            }
        }
        if first != Some(suspect) {
            return false;
        }
        counts.push(count);
    }
    // One line of a list of words shows nothing.
    let enough = if format == Format::Csv { 1 } else { 2 };
    counts.len() >= enough && counts.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: impl AsRef<[u8]>, format: Format, want: &str) {
        let head = head.as_ref();
        let got = sniff_encoding(head, None)
            .and_then(|()| sniff(head, format, false, &Columns::default()));
        match got {
            Ok(()) => assert_eq!(want, "", "{}", head.escape_ascii()),
            Err(message) => assert!(!want.is_empty() && message.contains(want), "{message}"),
        }
    }

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn other_encodings_are_seen() {
        for format in [Format::Csv, Format::Tsv, Format::JsonLines] {
            for mark in ["\u{feff}", ""] {
                let text = format!("{mark}key\tvalue\r\nk,v\r\n");
                check(utf_16(&text, u16::to_le_bytes), format, "--encoding utf-16le");
                check(utf_16(&text, u16::to_be_bytes), format, "--encoding utf-16be");
            }
        }
        check(b"k\t\\0\nk\0,\0\0\0\0\n", Format::Tsv, "");
        check(b"", Format::Tsv, "");
        check(b"\xff\xfd,x\n", Format::Csv, "");
        let marked = utf_16("\u{feff}a,b\n", u16::to_le_bytes);
        for encoding in [Encoding::Utf8, Encoding::Utf16Le] {
            assert_eq!(sniff_encoding(&marked, Some(encoding)), Ok(()));
        }
    }

    #[test]
    fn other_separators_are_seen() {
        check("sep=;\na;1\n", Format::Csv, "add --delimiter ';', and that line is left out");
        check("\u{feff}\"sep=,\"\r\na,1\n", Format::Csv, "add --delimiter ','");
        check("a;1,5\nb;2,5\n", Format::Csv, "add --delimiter ';', or --delimiter ',' to insist");
        check("a;1\n", Format::Csv, "--delimiter ';'");
        check("a\t1\n", Format::Csv, "--delimiter tab");
        check("a;1\nb;2\nc", Format::Tsv, "--delimiter ';', or --format tsv to insist");
        check("a,1\nb,2\n", Format::Tsv, "--delimiter ','");
        for fine in ["k,a=1;b=2\nl,a=3;b=4\n", "a,1\nb;c,2\n", "\"a;b\",1\n", "a,\"x;\ny;\"\n"] {
            check(fine, Format::Csv, "");
        }
        for fine in ["one, two\nthree\n", "a;b\n", "a\t1;2\nb\t3;4\n", "a;b\nc;d;e\n"] {
            check(fine, Format::Tsv, "");
        }
        check("[\"a;b\",\"c\"]\n", Format::JsonLines, "");
        let insist = Columns { delimiter: Some(b','), ..Columns::default() };
        assert!(sniff(b"a;1,5\n", Format::Csv, true, &insist).is_ok());
        assert!(sniff(b"a;1\nb;2\n", Format::Tsv, true, &Columns::default()).is_ok());
        let semicolon = Columns { delimiter: Some(b';'), ..Columns::default() };
        assert!(sniff(b"sep=;\na;1\n", Format::Csv, true, &semicolon).is_ok());
        assert!(sniff(b"sep=,\na,1\n", Format::Csv, true, &semicolon).is_err());
    }
}
