//! What `help` prints fits a screen.

use super::*;
use crate::commands::table::COMMANDS;

fn printed(print: impl FnOnce(&mut Output<'_>) -> io::Result<()>) -> String {
    let mut text = Vec::new();
    print(&mut Output { to: &mut text, look: Default::default() }).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn help_fits_a_screen() {
    let list = printed(|out| all(COMMANDS, out));
    // One line of 24 is the next prompt's.
    assert!(list.lines().count() < 24, "{list}");
    let pages = COMMANDS.0.iter().map(|spec| printed(|out| one(spec, out)));
    for page in pages.chain(TOPICS.iter().map(|page| printed(|out| topic(page, out)))) {
        assert!(page.lines().all(|line| line.chars().count() < 80), "{page}");
    }
    assert!(list.lines().all(|line| line.chars().count() < 80), "{list}");
    for spec in COMMANDS.0 {
        assert!(list.contains(&spec.brief()), "{}", spec.name);
    }
    for topic in TOPICS {
        assert!(topic.text.lines().count() < 24 && list.contains(topic.name), "{}", topic.name);
    }
}
