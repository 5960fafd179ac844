//! What the opening line asks for, and how mistakes are answered.

use super::*;

/// Whether a database is made in `path`, if a script writes, and what a person is asked.
fn made(path: &Path, create: Create, writes: bool, person: Option<bool>) -> (bool, String) {
    let settings = Settings { path: Some(path.into()), create, ..Settings::default() };
    let mut asked = String::new();
    let mut ask = |question: &str| {
        asked = question.into();
        person == Some(true)
    };
    let ask: Option<&mut dyn FnMut(&str) -> bool> =
        if person.is_some() { Some(&mut ask) } else { None };
    let db = open(&settings, || writes, ask);
    let told = db.as_ref().err().cloned().unwrap_or_default();
    let made = db.is_ok();
    drop(db);
    (made, asked + &told)
}

#[test]
fn a_database_is_made_where_one_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    for (create, writes, person) in [
        (Create::Never, true, Some(true)),
        (Create::Never, true, None),
        (Create::Asked, false, None),
        (Create::Asked, true, Some(false)),
    ] {
        let (done, said) = made(&absent, create, writes, person);
        assert!(!done && said.contains("there is no database in"), "{said}");
        assert!(!absent.exists());
    }
    for (name, create, writes, person) in [
        ("a", Create::Asked, true, None),
        ("b", Create::Asked, false, Some(true)),
        ("c", Create::Always, false, Some(false)),
    ] {
        let path = dir.path().join(name);
        assert!(made(&path, create, writes, person).0, "{name}");
        // Once it is there it is opened without a question.
        assert_eq!(made(&path, Create::Never, false, Some(false)), (true, String::new()));
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("empty/.hidden"), "").unwrap();
    assert!(made(&dir.path().join("empty"), Create::Asked, true, None).0);
}

#[test]
fn a_script_shows_by_its_first_command_what_it_is() {
    for (script, want) in [
        ("store k v\nget k\n", true),
        ("# comment\n\n\u{feff}\nput k 'two\nlines'\n", false),
        ("\u{feff}# comment\n\nput k 'two\nlines'\n", true),
        ("import a.csv", true),
        ("use users --create", true),
        ("use users", false),
        ("get k\nstore k v\n", false),
        ("frob", false),
        ("", false),
    ] {
        let mut read = Vec::new();
        assert_eq!(begins_by_filling(&mut script.as_bytes(), &mut read), want, "{script}");
        assert!(script.as_bytes().starts_with(&read));
    }
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let (done, said) = made(dir.path(), Create::Asked, true, None);
    assert!(!done && said.contains("it holds other files, such as thesis.tex"), "{said}");
    let (done, said) = made(dir.path(), Create::Asked, true, Some(false));
    assert!(!done && said.contains("such as thesis.tex: make one there?"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(made(dir.path(), Create::Always, false, None).0);
}
