//! The table agrees with itself, and with what is told about it elsewhere.

use super::*;
use crate::commands::topics::TOPICS;

#[test]
fn the_table_agrees_with_itself() {
    for pair in ROWS.windows(2) {
        let group = pair[0].group;
        let behind = ROWS.iter().skip_while(|row| row.name != pair[1].name);
        let split = group != pair[1].group && behind.clone().any(|row| row.group == group);
        assert!(!split, "the group {group} is in two pieces");
    }
    for row in ROWS {
        let name = row.name;
        assert!(!name.is_empty() && !row.group.is_empty() && !row.meaning.is_empty(), "{name}");
        assert!(row.example.starts_with(name), "{}", row.example);
        // In a terminal of 80 columns, behind the name and indented.
        assert!(row.meaning.chars().count() <= 80 - 23, "too long: {}", row.meaning);
        let words = row.aliases.iter().chain(row.shorthands.iter().map(|(word, _)| word));
        for word in words.chain([&name]) {
            let meant: Vec<&str> = ROWS
                .iter()
                .filter(|row| Table(std::slice::from_ref(*row)).meant(word.as_bytes()).is_some())
                .map(|row| row.name)
                .collect();
            assert_eq!(meant, [name], "{word} means more than one");
            assert!(TOPICS.iter().all(|topic| topic.name != *word), "{word} is a topic, too");
        }
        for (word, option) in row.shorthands {
            let known = row.option(option.as_bytes()).expect(word);
            assert!(known.value.is_none(), "{word}");
        }
        if let Makes::With(option) = row.makes {
            assert!(row.option(option.as_bytes()).is_some(), "{name}: {option}");
        }
        // The grammar has one word that may repeat, be all that is left, or be stood for: the last.
        let special = |place: &Place| place.many || place.kind == Kind::Rest;
        let before_last = row.places.split_last().map_or(&[][..], |(_, before)| before);
        assert!(!before_last.iter().any(special), "{name}");
        assert!(row.instead().is_none() || !row.places.is_empty(), "{name}");
    }
}

#[test]
fn every_row_has_a_function_and_reads_its_own_example() {
    for row in ROWS {
        if let Run::Alone(run) = row.run {
            let none: fn(&mut Shell, &mut Output<'_>) -> Result<(), Failure> = left_out;
            assert!(!std::ptr::fn_addr_eq(run, none), "{} has no function", row.name);
        }
        let read = crate::typed::parse::parse(row.example.as_bytes());
        assert!(matches!(read, Ok(Some(_))), "{}: {:?}", row.example, read.err());
    }
}

#[test]
fn usage_shows_places_and_options() {
    #[track_caller]
    fn check(name: &str, usage: &str, brief: &str) {
        let row = COMMANDS.named(name.as_bytes()).expect(name);
        assert_eq!((row.usage().as_str(), row.brief().as_str()), (usage, brief));
    }
    check("store", "store KEY VALUE | KEY --from FILE", "store KEY VALUE ..");
    check("get", "get KEY [--raw] [--at SNAPSHOT]", "get KEY ..");
    check("mget", "mget KEY... [--at SNAPSHOT]", "mget KEY... ..");
    check("compact", "compact [FROM] [TO]", "compact [FROM] [TO]");
    check("export", "export FILE [--format tsv|csv|jsonl] [--skip-damaged] [--at SNAPSHOT]", {
        "export FILE .."
    });
    check("timer", "timer on|off", "timer on|off");
    check("help", "help [COMMAND | TOPIC]", "help [COMMAND | TOPIC]");
    check("exit", "exit", "exit");
}

#[test]
fn every_name_that_is_offered_is_taken() {
    assert!(Format::NAMES.iter().all(|name| Format::named(name).is_some()));
    assert!(Encoding::NAMES.iter().all(|name| Encoding::named(name).is_some()));
    for word in control::SWITCH {
        let read = crate::typed::parse::parse(format!("timer {word}").as_bytes());
        assert!(read.is_ok(), "{word}");
    }
}

#[test]
fn the_nearest_command_is_suggested() {
    #[track_caller]
    fn check(name: &str, want: Option<&str>) {
        assert_eq!(COMMANDS.nearest(name.as_bytes()), want, "{name}");
    }
    check("stroe", Some("store"));
    check("sotre", Some("store"));
    check("gte", Some("get"));
    check("scna", Some("scan"));
    check("delet", Some("delete"));
    check("snapshotss", Some("snapshots"));
    check("comit", Some("commit"));
    check("imprt", Some("import"));
    check("sto", Some("store"));
    check("snap", Some("snapshot"));
    for other in ["frobnicate", "", "x", "greetings", "42", &"s".repeat(1_000_000)] {
        check(other, None);
    }
    assert_eq!(COMMANDS.nearest(b"\xff"), None);
    assert_eq!(
        COMMANDS.unknown(b"stroe"),
        "there is no command stroe; did you mean store? help lists the commands"
    );
    assert_eq!(COMMANDS.unknown(b"\xff"), r"there is no command \xff; help lists the commands");
}

#[test]
fn help_speaks_of_what_there_is() {
    let names: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    let help = COMMANDS.named(b"help").expect("there is help");
    assert_eq!(help.more, format!("Topics: {}.", names.join(", ")));
    let (_, aliases) = super::help::BELOW.split_once("work, too: ").expect("aliases are named");
    let (aliases, _) = aliases.split_once('.').expect("the sentence ends");
    for alias in aliases.split(", ") {
        let known = COMMANDS.named(alias.as_bytes()).is_none();
        assert!(known && COMMANDS.meant(alias.as_bytes()).is_some(), "{alias}");
    }
}
