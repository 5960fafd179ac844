//! The table of commands agrees with itself.

use super::*;

#[test]
fn the_table_agrees_with_itself() {
    for (spec, next) in SPECS.iter().zip(SPECS.iter().skip(1)) {
        let later = SPECS.iter().skip_while(|other| other.name != next.name);
        let split = spec.group != next.group && later.clone().any(|s| s.group == spec.group);
        assert!(!split, "the group {} is in two pieces", spec.group);
    }
    for spec in SPECS {
        let written = spec.arguments.matches("--").count();
        assert_eq!(written, spec.options.len(), "{}", spec.usage());
        for (option, _) in spec.options {
            assert!(spec.arguments.contains(option), "{}: {option}", spec.usage());
        }
        assert!(spec.example.starts_with(spec.name), "{}", spec.example);
        // In a terminal of 80 columns, behind the name and indented.
        assert!(spec.meaning.chars().count() <= 80 - 23, "too long: {}", spec.meaning);
        assert_eq!(SPECS.iter().filter(|other| other.name == spec.name).count(), 1);
    }
    for Alias { word, command, flags } in alias::aliases() {
        let spec = Spec::named(command.as_bytes()).expect(word);
        assert!(Spec::named(word.as_bytes()).is_none(), "{word}");
        let known = |flag: &&str| spec.options.iter().any(|(name, _)| name == flag);
        assert!(flags.iter().all(known), "{word}");
    }
    for topic in TOPICS {
        assert!(Spec::meant(topic.name.as_bytes()).is_none(), "{}", topic.name);
        assert!(topic.text.lines().all(|line| line.chars().count() < 80), "{}", topic.name);
    }
}

#[test]
fn the_nearest_command_is_suggested() {
    #[track_caller]
    fn check(name: &str, want: Option<&str>) {
        assert_eq!(nearest(name.as_bytes()), want, "{name}");
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
    assert_eq!(nearest(b"\xff"), None);
    assert_eq!(
        unknown(b"stroe"),
        "there is no command stroe; did you mean store? help lists the commands"
    );
    assert_eq!(unknown(b"\xff"), r"there is no command \xff; help lists the commands");
}
