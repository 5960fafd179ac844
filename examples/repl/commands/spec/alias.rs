//! What people type who know another program: taken for the command that it means here.

/// A word and what it stands for.
#[derive(Debug)]
pub(crate) struct Alias {
    pub(crate) word: &'static str,
    pub(crate) command: &'static str,
    /// Options that it has in it.
    pub(crate) flags: &'static [&'static str],
}

const ALIASES: &[(&str, &str)] = &[
    ("put", "store"),
    ("set", "store"),
    ("insert", "store"),
    ("add", "store"),
    ("write", "store"),
    ("read", "get"),
    ("multiget", "mget"),
    ("del", "delete"),
    ("rm", "delete"),
    ("remove", "delete"),
    ("unset", "delete"),
    ("ls", "scan"),
    ("list", "scan"),
    ("range", "scan"),
    ("dbsize", "count"),
    ("begin", "batch"),
    ("rollback", "abort"),
    ("load", "import"),
    ("dump", "export"),
    ("save", "export"),
    (".read", "source"),
    ("info", "stats"),
    ("runs", "segments"),
    ("merge", "compact"),
    ("vacuum", "compact"),
    ("check", "verify"),
    (".timer", "timer"),
    ("?", "help"),
    (".help", "help"),
    ("h", "help"),
    ("quit", "exit"),
    ("q", "exit"),
    (".exit", "exit"),
    (".quit", "exit"),
    (":q", "exit"),
    ("bye", "exit"),
];

const WITH_FLAGS: &[(&str, &str, &[&str])] =
    &[("keys", "scan", &["--keys"]), ("values", "scan", &["--values"])];

/// All of them.
pub(crate) fn aliases() -> impl Iterator<Item = Alias> {
    let plain = ALIASES.iter().map(|&(word, command)| Alias { word, command, flags: &[] });
    plain.chain(WITH_FLAGS.iter().map(|&(word, command, flags)| Alias { word, command, flags }))
}

impl Alias {
    /// The one of this word, in lower case.
    pub(crate) fn of(word: &[u8]) -> Option<Self> {
        aliases().find(|alias| alias.word.as_bytes() == word)
    }
}
