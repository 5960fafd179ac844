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
             exit\n",
        )
        .ok();
    let answers = out.split_once("help COMMAND tells more").unwrap().1;
    assert_eq!(
        answers.split_once('\n').unwrap().1,
        "ok\nok\nok\nRust\nAnn, Bob, and others\nline one\nline two, with a comma\nok\nPython\n\
         (not found)\n"
    );
}
