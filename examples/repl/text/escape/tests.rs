//! Escapes, written and read.

use super::*;

#[test]
fn every_escape_is_read() {
    #[track_caller]
    fn check(text: &[u8], want: Result<&[u8], &str>) {
        let mut out = Vec::new();
        match (unescape(text, &mut out), want) {
            (Ok(()), Ok(want)) => {
                assert_eq!(out.escape_ascii().to_string(), { want.escape_ascii().to_string() })
            }
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => panic!("{got:?} {out:?} instead of {want:?}"),
        }
    }
    check(b"", Ok(b""));
    check(br"plain", Ok(b"plain"));
    check(br#"\n\t\r\0\\\'\""#, Ok(b"\n\t\r\0\\'\""));
    check(br"a\x00\xfF\x7fz", Ok(b"a\x00\xff\x7fz"));
    check(br"\u{0}\u{e9}\u{1F600}\u{00e9}!", Ok("\0é😀é!".as_bytes()));
    check(b"\xff'\"", Ok(b"\xff'\""));
    check(br"a\", Err("backslash at the end"));
    check(br"\x", Err("two hexadecimal digits"));
    check(br"\x1", Err("two hexadecimal digits"));
    check(br"\x+1", Err("two hexadecimal digits"));
    check(br"\xg0", Err("two hexadecimal digits"));
    check(br"\u", Err("in braces"));
    check(br"\u{}", Err("in braces"));
    check(br"\u{41", Err("in braces"));
    check(br"\u{d800}", Err("in braces"));
    check(br"\u{110000}", Err("in braces"));
    check(br"\u{0000041}", Err("in braces"));
    check(br"\q", Err(r"\q is not an escape"));
    check("\\é".as_bytes(), Err("\\é is not an escape"));
    check(b"\\\xff", Err(r"\\xff is not an escape"));
    check(b"\\\n", Err(r"\\n is not an escape"));
}

#[test]
fn escaping_is_undone_for_every_byte_and_character() {
    #[track_caller]
    fn check(bytes: &[u8]) {
        let mut text = Vec::new();
        let mut back = Vec::new();
        escape(bytes, &mut text);
        assert!(std::str::from_utf8(&text).unwrap().chars().all(is_printable));
        unescape(&text, &mut back).unwrap();
        assert_eq!(back, bytes);
    }
    check(&(0..=255).collect::<Vec<u8>>());
    check(&(0..=255).rev().collect::<Vec<u8>>());
    for byte in 0..=255 {
        check(&[byte]);
    }
    for character in (0..0x2000).chain(0xd000..0x10100).filter_map(char::from_u32) {
        check(character.to_string().as_bytes());
    }
    check(b"\xe2\x82 cut short \xe2");
}

#[test]
fn only_harmless_text_goes_out_as_it_is() {
    assert!(is_text("two\nlines,\ta tab, é".as_bytes()));
    assert!(is_text(b""));
    for bytes in [&b"\x1b[2J"[..], b"\xff", b"\0", b"a\rb", "\u{9b}".as_bytes(), b"\x7f"] {
        assert!(!is_text(bytes), "{bytes:?}");
    }
}
