//! The table of commands.

use super::{Kind, Place, Spec};

const fn needed(what: &'static str, kind: Kind) -> Place {
    Place { what, kind, needed: true, many: false }
}

const fn optional(what: &'static str, kind: Kind) -> Place {
    Place { what, kind, needed: false, many: false }
}

const KEY: &[Place] = &[needed("key", Kind::Key)];
const AT: (&str, Kind) = ("--at", Kind::Snapshot);
const RANGE: &[Place] = &[optional("first key", Kind::Key), optional("end", Kind::Key)];
const SCAN: &[(&str, Kind)] = &[
    ("--keys", Kind::Flag),
    ("--values", Kind::Flag),
    ("--hex", Kind::Flag),
    ("--reverse", Kind::Flag),
    ("--limit", Kind::Free),
    AT,
];

const DATA: &str = "data";
const SPACES: &str = "keyspaces";
const MOMENTS: &str = "snapshots";
const BATCHES: &str = "batches";
const FILES: &str = "files";
const ENGINE: &str = "engine";
const MERGING: &str = "merging";
const INDEX: &str = "index";
const SHELL: &str = "shell";

/// Groups stand together, in the order in which `help` shows them.
pub(crate) const SPECS: &[Spec] = &[
    Spec {
        name: "store",
        group: DATA,
        arguments: "KEY VALUE | KEY --from FILE",
        meaning: "set KEY to VALUE, or to what FILE holds",
        more: "Without quotes, VALUE is the rest of the line, commas and blanks included. With \
               quotes it may go on over several lines, and may be --from itself. FILE is taken \
               byte for byte; - is standard input.",
        example: "store greeting hello, world",
        places: &[needed("key", Kind::Key), needed("value", Kind::Free)],
        options: &[("--from", Kind::File)],
    },
    Spec {
        name: "get",
        group: DATA,
        arguments: "KEY [--raw] [--at SNAPSHOT]",
        meaning: "print the value of KEY",
        more: "Text is printed as it is, other bytes with escapes. --raw prints the bytes as \
               they are, and no newline behind them. A key that is not there is answered with \
               (not found); with -e that is a complaint, and the exit status is 1.",
        example: "get greeting",
        places: KEY,
        options: &[("--raw", Kind::Flag), AT],
    },
    Spec {
        name: "exists",
        group: DATA,
        arguments: "KEY [--at SNAPSHOT]",
        meaning: "say yes if KEY is there, or else no",
        more: "With -e, no makes the exit status 1.",
        example: "exists greeting",
        places: KEY,
        options: &[AT],
    },
    Spec {
        name: "mget",
        group: DATA,
        arguments: "KEY... [--at SNAPSHOT]",
        meaning: "print several keys with their values, all of one moment",
        more: "A line for each key, in the order asked for, as scan prints it. With -e, a key \
               that is not there makes the exit status 1.",
        example: "mget greeting language",
        places: &[Place { what: "key", kind: Kind::Key, needed: true, many: true }],
        options: &[AT],
    },
    Spec {
        name: "delete",
        group: DATA,
        arguments: "KEY",
        meaning: "remove KEY; one that is not there is fine",
        more: "",
        example: "delete greeting",
        places: KEY,
        options: &[],
    },
    Spec {
        name: "scan",
        group: DATA,
        arguments: "[FROM] [TO] [--keys] [--values] [--hex] [--reverse] [--limit N] \
                    [--at SNAPSHOT]",
        meaning: "print the keys from FROM up to TO, with their values",
        more: "TO itself is left out. One line for each key, with escapes: import --format tsv \
               reads it back. --keys and --values print only these, --hex prints hexadecimal \
               digits. --reverse begins at the end; --limit stops after N keys.",
        example: "scan a m --reverse --limit 10",
        places: RANGE,
        options: SCAN,
    },
    Spec {
        name: "prefix",
        group: DATA,
        arguments: "PREFIX [--keys] [--values] [--hex] [--reverse] [--limit N] [--at SNAPSHOT]",
        meaning: "print the keys that begin with PREFIX, as scan does",
        more: "",
        example: "prefix user: --limit 10",
        places: &[needed("prefix", Kind::Key)],
        options: SCAN,
    },
    Spec {
        name: "count",
        group: DATA,
        arguments: "[FROM] [TO] [--prefix PREFIX] [--at SNAPSHOT]",
        meaning: "count the keys from FROM up to TO",
        more: "Exact, and reads them all; --prefix counts those that begin with PREFIX. The \
               answer is a plain number.",
        example: "count --prefix user:",
        places: RANGE,
        options: &[("--prefix", Kind::Key), AT],
    },
    Spec {
        name: "size",
        group: DATA,
        arguments: "[FROM] [TO] [--prefix PREFIX]",
        meaning: "estimate how many bytes the keys from FROM up to TO take",
        more: "From the indexes alone, so that it costs nothing: old versions that are not merged \
               away yet count as well.",
        example: "size a m",
        places: RANGE,
        options: &[("--prefix", Kind::Key)],
    },
    Spec {
        name: "keyspaces",
        group: SPACES,
        arguments: "",
        meaning: "list the keyspaces; a star marks the one in use",
        more: "",
        example: "keyspaces",
        places: &[],
        options: &[],
    },
    Spec {
        name: "use",
        group: SPACES,
        arguments: "KEYSPACE [--create]",
        meaning: "work on KEYSPACE from now on",
        more: "A session begins with the one named default. --create makes it if there is none; \
               at a terminal a question does.",
        example: "use users --create",
        places: &[needed("keyspace", Kind::Keyspace)],
        options: &[("--create", Kind::Flag)],
    },
    Spec {
        name: "drop",
        group: SPACES,
        arguments: "KEYSPACE",
        meaning: "drop KEYSPACE with everything in it",
        more: "Snapshots taken before still see it. If it was in use, default is used from now \
               on.",
        example: "drop users",
        places: &[needed("keyspace", Kind::Keyspace)],
        options: &[],
    },
    Spec {
        name: "snapshot",
        group: MOMENTS,
        arguments: "[NAME]",
        meaning: "keep this moment to read from, as NAME or s1, s2, …",
        more: "get, scan, prefix and export read at it with --at. It holds until release or the \
               end of the session, and across keyspaces.",
        example: "snapshot before",
        places: &[optional("name", Kind::Free)],
        options: &[],
    },
    Spec {
        name: "snapshots",
        group: MOMENTS,
        arguments: "",
        meaning: "list the snapshots of this session",
        more: "",
        example: "snapshots",
        places: &[],
        options: &[],
    },
    Spec {
        name: "release",
        group: MOMENTS,
        arguments: "SNAPSHOT",
        meaning: "let a snapshot go",
        more: "",
        example: "release before",
        places: &[needed("snapshot", Kind::Snapshot)],
        options: &[],
    },
    Spec {
        name: "batch",
        group: BATCHES,
        arguments: "",
        meaning: "collect what store and delete say, until commit or abort",
        more: "Nothing of it is visible before commit, not to this session either, and then all \
               of it is, across keyspaces.",
        example: "batch",
        places: &[],
        options: &[],
    },
    Spec {
        name: "commit",
        group: BATCHES,
        arguments: "",
        meaning: "write the batch, all or nothing",
        more: "If it fails the batch is kept, for another commit or abort.",
        example: "commit",
        places: &[],
        options: &[],
    },
    Spec {
        name: "abort",
        group: BATCHES,
        arguments: "",
        meaning: "forget the batch",
        more: "",
        example: "abort",
        places: &[],
        options: &[],
    },
    Spec {
        name: "import",
        group: FILES,
        arguments: "FILE [--format tsv|csv|jsonl] [--header] [--key COLUMN] [--delimiter C] \
                    [--encoding E] [--skip-bad] [--ack] [--progress]",
        meaning: "store each row of FILE; - is standard input",
        more: "The format goes by the extension: .tsv .txt (key, tab, value; or one key on each \
               line), .csv (key,value) and .jsonl .ndjson ({\"key\": \"k\", \"value\": \"v\"} \
               or [\"k\", \"v\"]; bytes that are not text as {\"base64\": \"/w==\"}).",
        example: "import words.txt",
        places: &[needed("file", Kind::File)],
        options: &[
            ("--format", Kind::Format),
            ("--header", Kind::Flag),
            ("--key", Kind::Free),
            ("--delimiter", Kind::Free),
            ("--encoding", Kind::Encoding),
            ("--skip-bad", Kind::Flag),
            ("--ack", Kind::Flag),
            ("--progress", Kind::Flag),
        ],
    },
    Spec {
        name: "export",
        group: FILES,
        arguments: "FILE [--format tsv|csv|jsonl] [--skip-damaged] [--at SNAPSHOT]",
        meaning: "write the keyspace in use to FILE, for import",
        more: "The format goes by the extension as for import. A file of that name is replaced \
               only once the export is complete. FILE may also be a pipe, a device, or - for \
               standard output, as tsv unless --format says otherwise; the summary then goes to \
               standard error. --skip-damaged reads on over blocks that cannot be read, tells \
               which keys are missing or may be out of date, and fails if there are any.",
        example: "export dump.csv",
        places: &[needed("file", Kind::File)],
        options: &[("--format", Kind::Format), ("--skip-damaged", Kind::Flag), AT],
    },
    Spec {
        name: "source",
        group: FILES,
        arguments: "FILE",
        meaning: "run the commands in FILE",
        more: "It ends at its first error, unless the shell was started with --keep-going.",
        example: "source setup.txt",
        places: &[needed("file", Kind::File)],
        options: &[],
    },
    Spec {
        name: "sync",
        group: ENGINE,
        arguments: "",
        meaning: "make everything stored so far survive a power cut",
        more: "",
        example: "sync",
        places: &[],
        options: &[],
    },
    Spec {
        name: "flush",
        group: ENGINE,
        arguments: "",
        meaning: "move what is in memory into a segment file",
        more: "",
        example: "flush",
        places: &[],
        options: &[],
    },
    Spec {
        name: "stats",
        group: ENGINE,
        arguments: "",
        meaning: "print the state of the engine",
        more: "",
        example: "stats",
        places: &[],
        options: &[],
    },
    Spec {
        name: "segments",
        group: ENGINE,
        arguments: "[--all]",
        meaning: "draw the runs on disk as layers, newest first",
        more: "For each run: a bar as wide as it is large, its size, versions, segments, \
               tombstones, age, and first and last key. The light end of a bar is what merges \
               have trimmed off its files, and goes as they do. --all adds a line for each \
               segment.",
        example: "segments",
        places: &[],
        options: &[("--all", Kind::Flag)],
    },
    Spec {
        name: "explain",
        group: ENGINE,
        arguments: "KEY [--at SNAPSHOT]",
        meaning: "tell where a get of KEY looks, and what it meets",
        more: "Memtables and runs, newest first: what each filter says, whether it was right, \
               blocks in memory or on disk, versions and tombstones, and the answer.",
        example: "explain greeting",
        places: KEY,
        options: &[AT],
    },
    Spec {
        name: "verify",
        group: ENGINE,
        arguments: "",
        meaning: "read every block on disk and report all damage",
        more: "Checksums, the order of keys, counts, whether the index finds every key, and the \
               logs. Fails if anything is damaged.",
        example: "verify",
        places: &[],
        options: &[],
    },
    Spec {
        name: "set_threshold",
        group: ENGINE,
        arguments: "SIZE",
        meaning: "set the size at which a memtable is full",
        more: "From the next memtable on, until the database is closed. SIZE is a number of \
               bytes, or one with KiB, MiB or GiB.",
        example: "set_threshold 4MiB",
        places: &[needed("size", Kind::Free)],
        options: &[],
    },
    Spec {
        name: "compact",
        group: MERGING,
        arguments: "[FROM] [TO]",
        meaning: "merge all runs into one, or the keys from FROM up to TO",
        more: "Runs are merged by themselves in the background; this does what is left of it, \
               and waits. Old versions go, and deleted keys with them, but what a snapshot of \
               this session sees stays. FROM and TO are keys of the keyspace in use; TO itself \
               is left out.",
        example: "compact user:a user:m",
        places: RANGE,
        options: &[],
    },
    Spec {
        name: "pause_compaction",
        group: MERGING,
        arguments: "",
        meaning: "merge nothing until resume_compaction",
        more: "What a merge is writing it finishes. Runs pile up meanwhile.",
        example: "pause_compaction",
        places: &[],
        options: &[],
    },
    Spec {
        name: "resume_compaction",
        group: MERGING,
        arguments: "",
        meaning: "let merges go on",
        more: "",
        example: "resume_compaction",
        places: &[],
        options: &[],
    },
    Spec {
        name: "load_index",
        group: INDEX,
        arguments: "",
        meaning: "read all segments, and make their index in memory anew",
        more: "Readers and writers go on meanwhile. An open needs it no more: it reads the \
               index that each segment stores.",
        example: "load_index",
        places: &[],
        options: &[],
    },
    Spec {
        name: "save_index_snapshot",
        group: INDEX,
        arguments: "FILE",
        meaning: "save the index of all segments to FILE",
        more: "",
        example: "save_index_snapshot warm.index",
        places: &[needed("file", Kind::File)],
        options: &[],
    },
    Spec {
        name: "load_index_snapshot",
        group: INDEX,
        arguments: "FILE",
        meaning: "load the index of all segments from FILE",
        more: "Segments that are not in FILE keep the index that they have. A damaged file, or \
               one of another database, changes nothing.",
        example: "load_index_snapshot warm.index",
        places: &[needed("file", Kind::File)],
        options: &[],
    },
    Spec {
        name: "help",
        group: SHELL,
        arguments: "[COMMAND | TOPIC]",
        meaning: "list the commands, or tell all about one",
        more: "Topics: quoting, formats, scripts, terminal, json.",
        example: "help scan",
        places: &[optional("command", Kind::Topic)],
        options: &[],
    },
    Spec {
        name: "timer",
        group: SHELL,
        arguments: "on|off",
        meaning: "tell after each command how long it took",
        more: "On standard error, so that the answers stay what they are.",
        example: "timer on",
        places: &[needed("word on or off", Kind::Switch)],
        options: &[],
    },
    Spec {
        name: "exit",
        group: SHELL,
        arguments: "",
        meaning: "leave; so does the end of the input",
        more: "",
        example: "exit",
        places: &[],
        options: &[],
    },
];
