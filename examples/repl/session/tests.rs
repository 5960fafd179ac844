//! Sessions at a terminal and in scripts, without a terminal.

use super::*;
use crate::print::pager::{More, Page};

/// Lines with a prompt and with pages of 2 lines, as a terminal has them.
struct Typed<'a>(Lines<&'a [u8]>);

impl Source for Typed<'_> {
    fn line(
        &mut self,
        shell: Option<&Shell>,
        out: &mut dyn Write,
        text: &mut Vec<u8>,
    ) -> io::Result<Got> {
        let prompt = shell.map_or("...> ".into(), Shell::prompt);
        write!(out, "{prompt}")?;
        self.0.line(shell, out, text)
    }

    fn page(&mut self) -> Option<Page> {
        Some(Page { columns: 80, rows: 3 })
    }

    fn more(&mut self, out: &mut dyn Write) -> io::Result<More> {
        write!(out, "(enough)")?;
        Ok(More::Enough)
    }

    fn ask(&mut self, out: &mut dyn Write, question: &str) -> io::Result<Option<bool>> {
        write!(out, "{question} (yes)")?;
        Ok(Some(true))
    }
}

/// What a session prints to its output and error streams, and how it ends.
fn session(mode: Mode, input: &str) -> (String, String, Ended) {
    let mut shell = Shell::new(alluvium::Db::in_memory().unwrap()).unwrap();
    let mut out = Vec::new();
    let mut err = Vec::new();
    let mut lines = Lines::new(input.as_bytes());
    let mut typed = Typed(Lines::new(input.as_bytes()));
    let ended = Session {
        shell: &mut shell,
        mode,
        name: "input".into(),
        source: if mode == Mode::Terminal { &mut typed } else { &mut lines },
        look: Look::default(),
        err_look: Look::default(),
        out: &mut out,
        err: &mut err,
        keep_going: false,
        depth: 0,
    }
    .run()
    .unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), ended)
}

#[test]
fn a_terminal_shows_prompts_and_survives_errors() {
    let (out, err, ended) =
        session(Mode::Terminal, "store k 'a\nb'\n\nget\nfrob\nget k\nexit\nget k\n");
    assert_eq!(out, "alluvium> ...> ok\nalluvium> alluvium> alluvium> alluvium> a\nb\nalluvium> ");
    assert!(err.starts_with("error: the key is missing"), "{err}");
    assert!(err.contains("\nerror: there is no command frob"), "{err}");
    assert_eq!(ended, Ended::Exit);
    let (out, err, ended) = session(Mode::Terminal, "get 'a");
    assert_eq!(out, "alluvium> ...> alluvium> ");
    assert_eq!(err, "error: the input ends before the closing quote '\n");
    assert_eq!(ended, Ended::Input);
}

#[test]
fn a_prompt_tells_the_keyspace_and_what_is_open() {
    let (out, err, _) = session(
        Mode::Terminal,
        "use users --create\nbatch\nstore a 1\nabort\nbegin\nstore a 1\nrollback\nuse default\n",
    );
    assert_eq!(err, "");
    for prompt in [
        "> alluvium",
        "\nalluvium/users> ",
        "/users +0> ",
        "/users +1> ",
        "/users tx +0> ",
        "/users tx +1> ",
    ] {
        assert!(out.contains(prompt.trim_start_matches("> ")), "{prompt}: {out}");
    }
    assert!(out.ends_with("now in default\nalluvium> "), "{out}");
}

#[test]
fn a_reader_who_has_seen_enough_goes_on_with_the_next_command() {
    let (out, err, ended) =
        session(Mode::Terminal, "store a 1\nstore b 2\nstore c 3\nscan\nget a\n");
    assert!(out.ends_with("alluvium> a\t1\nb\t2\n(enough)alluvium> 1\nalluvium> "), "{out}");
    assert_eq!((err.as_str(), ended), ("", Ended::Input));
}

#[test]
fn a_script_stops_at_its_first_error() {
    let (out, err, ended) = session(Mode::Script, "store k 'a\nb'\nget k\nfrob\nget k\n");
    assert_eq!(out, "ok\na\nb\n");
    assert!(err.starts_with("error: input, line 4: there is no command frob"), "{err}");
    assert_eq!(ended, Ended::Failed);
}

#[test]
fn a_quote_over_many_lines_is_one_value() {
    let lines = "one more \\\" line\n".repeat(2_000) + &"and another\n".repeat(100_000);
    let (out, _, ended) = session(Mode::Script, &format!("store k \"{lines}\"\nget k"));
    assert_eq!(out.len(), "ok\n\n".len() + lines.len() - 2_000);
    assert_eq!(ended, Ended::Input);
}

#[test]
fn a_new_keyspace_is_asked_for_at_a_terminal() {
    let (out, err, _) = session(Mode::Terminal, "use users\nuse users\n");
    assert!(out.starts_with("alluvium> there is no keyspace users: make it? (yes)now in users, "));
    assert!(out.ends_with("alluvium/users> now in users\nalluvium/users> "), "{out}");
    assert_eq!(err, "");
    let (out, err, ended) = session(Mode::Script, "use users --create\nuse user\nkeyspaces\n");
    assert_eq!((out.as_str(), ended), ("now in users, which is new\n", Ended::Failed));
    assert!(err.contains("no keyspace user; did you mean users? add --create to make it"), "{err}");
}

#[test]
fn a_script_may_begin_with_a_mark_and_hold_comments() {
    let (out, err, _) = session(Mode::Script, "\u{feff}# it's\nstore k v\r\n\n# end\r\nget k");
    assert_eq!((out.as_str(), err.as_str()), ("ok\nv\n", ""));
}

#[test]
fn a_missing_key_is_a_complaint_in_an_argument_only() {
    let (out, err, ended) = session(Mode::Script, "get k\nexists k\nmget k\n");
    assert_eq!((out.as_str(), err.as_str()), ("(not found)\nno\nk (not found)\n", ""));
    assert_eq!(ended, Ended::Input);
    let (out, err, _) = session(Mode::Arguments, "get k\nexists k\nmget k\n");
    assert_eq!(out, "no\nk (not found)\n");
    assert_eq!(err, "error: input, line 1: there is no key k\n");
}
