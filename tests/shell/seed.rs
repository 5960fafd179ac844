//! The session of the document that the project grew from, typed in as it stands.

use crate::Place;

#[test]
fn the_first_session_works_as_it_was_described() {
    let place = Place::new();
    let out = place
        .input(
            "help\n\
             store language Rust\n\
             store authors Ann, Bob, and others\n\
             store poem \"line one\nline two, with a comma\"\n\
             get language\n\
             get authors\n\
             get poem\n\
             store language Python\n\
             get language\n\
             get nothing\n\
             flush\n\
             load_index\n\
             save_index_snapshot index.snapshot\n\
             load_index_snapshot index.snapshot\n\
             get poem\n\
             exit\n",
        )
        .ok();
    let answers = out.split_once("help COMMAND tells more").unwrap().1;
    let (text, index) = answers.split_once("(not found)\nok\n").unwrap();
    let (_, text) = text.split_once('\n').unwrap();
    let poem = "line one\nline two, with a comma\n";
    assert_eq!(text, format!("ok\nok\nok\nRust\nAnn, Bob, and others\n{poem}ok\nPython\n"));
    let done: Vec<&str> = index.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(done, ["rebuilt", "saved", "loaded", "line", "line"]);
    assert!(index.ends_with(poem), "{index}");
}
