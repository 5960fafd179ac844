//! Escapes: any byte string written as printable text, and read back.
//!
//! The one home of the rules that bare words, "double quotes", tab-separated files and the output
//! of `get` and `scan` share. Knows neither commands nor files.
//!
//! | escape | byte or bytes |
//! |---|---|
//! | `\n` `\t` `\r` `\0` | newline, tab, carriage return, zero |
//! | `\\` `\'` `\"` | the character itself |
//! | `\xNN` | the byte with these two hexadecimal digits |
//! | `\u{N…}` | the character with this number (1 to 6 hexadecimal digits), as UTF-8 |
//!
//! Every other byte stands for itself. A backslash before anything else is an error and not a
//! backslash, so that a later escape can be added without changing what old input means.

#[cfg(test)]
mod tests;

/// Appends what `text` stands for to `out`.
pub(crate) fn unescape(mut text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    while let Some(at) = text.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&text[..at]);
        text = unescape_one(&text[at + 1..], out)?;
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Appends what the escape at the start of `text`, just after its backslash, stands for, and
/// returns the text behind it.
pub(crate) fn unescape_one<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let Some((&letter, rest)) = text.split_first() else {
        return Err(r"a backslash at the end stands for nothing; write \\ for a backslash".into());
    };
    let byte = match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'0' => 0,
        b'\\' | b'\'' | b'"' => letter,
        b'x' => {
            let digits = rest.first_chunk::<2>().and_then(|digits| number(digits));
            let digits = digits.ok_or(r"\x needs two hexadecimal digits, as in \x1f")?;
            out.push(u8::try_from(digits).expect("two hexadecimal digits are at most 255"));
            return Ok(&rest[2..]);
        }
        b'u' => return unescape_character(rest, out),
        _ => {
            return Err(format!(
                r"\{} is not an escape; write \\ for a backslash",
                escaped(text.utf8_chunks().next().map_or(&text[..1], first_character))
            ));
        }
    };
    out.push(byte);
    Ok(rest)
}

/// The `{N…}` of `\u{N…}`.
fn unescape_character<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let braced = || {
        let digits = text.strip_prefix(b"{")?;
        let end = digits.iter().take(7).position(|&byte| byte == b'}')?;
        let character = char::from_u32(number(&digits[..end])?)?;
        Some((character, &digits[end + 1..]))
    };
    let (character, rest) =
        braced().ok_or(r"\u needs the number of a character in braces, as in \u{e9}")?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

/// The value of one to six hexadecimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    // `from_str_radix` alone would also take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The first character of a chunk, or its first invalid bytes if it has none.
fn first_character<'a>(chunk: std::str::Utf8Chunk<'a>) -> &'a [u8] {
    let valid = chunk.valid();
    match valid.chars().next() {
        Some(character) => &valid.as_bytes()[..character.len_utf8()],
        None => chunk.invalid(),
    }
}

/// Appends `bytes` as one line of printable UTF-8 without a tab, which `unescape` reads back.
pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.extend_from_slice(br"\n"),
                '\t' => out.extend_from_slice(br"\t"),
                '\r' => out.extend_from_slice(br"\r"),
                '\0' => out.extend_from_slice(br"\0"),
                '\\' => out.extend_from_slice(br"\\"),
                _ if is_printable(character) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ if character.is_ascii() => hexadecimal(character as u8, out),
                _ => out.extend_from_slice(character.escape_unicode().to_string().as_bytes()),
            }
        }
        for &byte in chunk.invalid() {
            hexadecimal(byte, out);
        }
    }
}

/// `bytes` escaped, for a message.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    escape(bytes, &mut out);
    String::from_utf8(out).expect("escape writes whole characters only")
}

/// Whether `bytes` can go to a terminal as they are: UTF-8 with no control character other than
/// newline and tab.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        text.chars().all(|character| matches!(character, '\n' | '\t') || is_printable(character))
    })
}

/// U+FEFF is refused because a reader takes it, at the start of a file, for a byte order mark.
fn is_printable(character: char) -> bool {
    !character.is_control() && character != '\u{feff}'
}

fn hexadecimal(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
}
