//! The table of commands, which help, completion, hints and the parser share: a command is a row
//! here and a function. `docs/shell.md` lists the commands, and `tests/tidy` compares the two.

#[cfg(test)]
mod tests;

use super::spec::{Dashed, Kind, Makes, Place, Run, Spec, Table};
use super::topics;
use super::{
    compact, control, copies, data, engine, explain, export, help, import, index, scan, session,
};
use crate::print::output::Output;
use crate::rows::{Encoding, Format};
use crate::shell::{Failure, Shell};

const fn needed(shown: &'static str, what: &'static str, kind: Kind) -> Place {
    Place { shown, what, kind, needed: true, many: false }
}

const fn optional(shown: &'static str, what: &'static str, kind: Kind) -> Place {
    Place { needed: false, ..needed(shown, what, kind) }
}

const fn flag(name: &'static str) -> Dashed {
    Dashed { name, value: None, instead: false }
}

const fn with(name: &'static str, shown: &'static str, kind: Kind) -> Dashed {
    Dashed { value: Some((shown, kind)), ..flag(name) }
}

const KEY: Place = needed("KEY", "key", Kind::Key);
const VALUE: Place = needed("VALUE", "value", Kind::Rest);
const PREFIX: Place = needed("PREFIX", "prefix", Kind::Key);
const KEYSPACE: Place = needed("KEYSPACE", "keyspace", Kind::Keyspace);
const FILE: Place = needed("FILE", "file", Kind::File);
const RANGE: &[Place] =
    &[optional("FROM", "first key", Kind::Key), optional("TO", "end", Kind::Key)];

const AT: Dashed = with("--at", "SNAPSHOT", Kind::Snapshot);
const BY_PREFIX: Dashed = with("--prefix", "PREFIX", Kind::Key);
const FORMAT: Dashed = with("--format", "", Kind::OneOf(Format::NAMES));
const SCAN: &[Dashed] = &[
    flag("--keys"),
    flag("--values"),
    flag("--hex"),
    flag("--reverse"),
    with("--limit", "N", Kind::Free),
    AT,
];

const DATA: &str = "data";
const SPACES: &str = "keyspaces";
const MOMENTS: &str = "snapshots";
const COMMITS: &str = "commits";
const FILES: &str = "files";
const ENGINE: &str = "engine";
const MERGING: &str = "merging";
const COPIES: &str = "copies";
const INDEX: &str = "index";
const SHELL: &str = "shell";

/// The fields that a row may leave out.
const PLAIN: Spec = Spec {
    name: "",
    aliases: &[],
    shorthands: &[],
    group: "",
    places: &[],
    options: &[],
    meaning: "",
    more: "",
    details: "",
    example: "",
    makes: Makes::Nothing,
    run: Run::Alone(left_out),
};

/// The function of a row that names none.
fn left_out(_: &mut Shell, _: &mut Output<'_>) -> Result<(), Failure> {
    Err("this command has no function".into())
}

pub(crate) const COMMANDS: Table = Table(ROWS);

/// Groups stand together, in the order in which `help` shows them.
const ROWS: &[Spec] = &[
    Spec {
        name: "store",
        aliases: &["put", "set", "insert", "add", "write"],
        group: DATA,
        places: &[KEY, VALUE],
        options: &[Dashed { instead: true, ..with("--from", "FILE", Kind::File) }],
        meaning: "set KEY to VALUE, or to what FILE holds",
        more: "Without quotes, VALUE is the rest of the line, commas and blanks included. With \
               quotes it may go on over several lines, and may be --from itself. FILE is taken \
               byte for byte; - is standard input.",
        example: "store greeting hello, world",
        makes: Makes::Database,
        run: Run::Given(data::store),
        ..PLAIN
    },
    Spec {
        name: "get",
        aliases: &["read"],
        group: DATA,
        places: &[KEY],
        options: &[flag("--raw"), AT],
        meaning: "print the value of KEY",
        more: "Text is printed as it is, other bytes with escapes. --raw prints the bytes as \
               they are, and no newline behind them. A key that is not there is answered with \
               (not found); with -e that is a complaint, and the exit status is 1.",
        example: "get greeting",
        run: Run::Given(data::get),
        ..PLAIN
    },
    Spec {
        name: "exists",
        group: DATA,
        places: &[KEY],
        options: &[AT],
        meaning: "say yes if KEY is there, or else no",
        more: "With -e, no makes the exit status 1.",
        example: "exists greeting",
        run: Run::Given(data::exists),
        ..PLAIN
    },
    Spec {
        name: "mget",
        aliases: &["multiget"],
        group: DATA,
        places: &[Place { many: true, ..KEY }],
        options: &[AT],
        meaning: "print several keys with their values, all of one moment",
        more: "A line for each key, in the order asked for, as scan prints it. With -e, a key \
               that is not there makes the exit status 1.",
        example: "mget greeting language",
        run: Run::Given(data::multi_get),
        ..PLAIN
    },
    Spec {
        name: "delete",
        aliases: &["del", "rm", "remove", "unset"],
        group: DATA,
        places: &[KEY],
        meaning: "remove KEY; one that is not there is fine",
        example: "delete greeting",
        makes: Makes::Database,
        run: Run::Given(data::delete),
        ..PLAIN
    },
    Spec {
        name: "scan",
        aliases: &["ls", "list", "range"],
        shorthands: &[("keys", "--keys"), ("values", "--values")],
        group: DATA,
        places: RANGE,
        options: SCAN,
        meaning: "print the keys from FROM up to TO, with their values",
        more: "TO itself is left out. One line for each key, with escapes: import --format tsv \
               reads it back. --keys and --values print only these, --hex prints hexadecimal \
               digits. --reverse begins at the end; --limit stops after N keys.",
        example: "scan a m --reverse --limit 10",
        run: Run::Given(scan::scan),
        ..PLAIN
    },
    Spec {
        name: "prefix",
        group: DATA,
        places: &[PREFIX],
        options: SCAN,
        meaning: "print the keys that begin with PREFIX, as scan does",
        example: "prefix user: --limit 10",
        run: Run::Given(scan::prefix),
        ..PLAIN
    },
    Spec {
        name: "count",
        aliases: &["dbsize"],
        group: DATA,
        places: RANGE,
        options: &[BY_PREFIX, AT],
        meaning: "count the keys from FROM up to TO",
        more: "Exact, and reads them all; --prefix counts those that begin with PREFIX. The \
               answer is a plain number.",
        example: "count --prefix user:",
        run: Run::Given(scan::count),
        ..PLAIN
    },
    Spec {
        name: "size",
        group: DATA,
        places: RANGE,
        options: &[BY_PREFIX],
        meaning: "estimate how many bytes the keys from FROM up to TO take",
        more: "From the indexes alone, so that it costs nothing: old versions that are not merged \
               away yet count as well.",
        example: "size a m",
        run: Run::Given(scan::size),
        ..PLAIN
    },
    Spec {
        name: "keyspaces",
        group: SPACES,
        meaning: "list the keyspaces; a star marks the one in use",
        example: "keyspaces",
        run: Run::Alone(session::keyspaces),
        ..PLAIN
    },
    Spec {
        name: "use",
        group: SPACES,
        places: &[KEYSPACE],
        options: &[flag("--create")],
        meaning: "work on KEYSPACE from now on",
        more: "A session begins with the one named default. --create makes it if there is none; \
               at a terminal a question does.",
        example: "use users --create",
        makes: Makes::With("--create"),
        run: Run::Given(session::enter),
        ..PLAIN
    },
    Spec {
        name: "drop",
        group: SPACES,
        places: &[KEYSPACE],
        meaning: "drop KEYSPACE with everything in it",
        more: "Snapshots taken before still see it. If it was in use, default is used from now \
               on.",
        example: "drop users",
        run: Run::Given(session::drop_keyspace),
        ..PLAIN
    },
    Spec {
        name: "rename",
        group: SPACES,
        places: &[KEYSPACE, needed("NAME", "new name", Kind::Free)],
        meaning: "give KEYSPACE another NAME, which none has",
        more: "Its keys, its snapshots and a batch that is being collected stay as they are.",
        example: "rename users people",
        run: Run::Given(session::rename),
        ..PLAIN
    },
    Spec {
        name: "snapshot",
        group: MOMENTS,
        places: &[optional("NAME", "name", Kind::Free)],
        meaning: "keep this moment to read from, as NAME or s1, s2, …",
        more: "get, scan, prefix and export read at it with --at. It holds until release or the \
               end of the session, and across keyspaces.",
        example: "snapshot before",
        run: Run::Given(session::snapshot),
        ..PLAIN
    },
    Spec {
        name: "snapshots",
        group: MOMENTS,
        meaning: "list the snapshots of this session",
        example: "snapshots",
        run: Run::Alone(session::snapshots),
        ..PLAIN
    },
    Spec {
        name: "release",
        group: MOMENTS,
        places: &[needed("SNAPSHOT", "snapshot", Kind::Snapshot)],
        meaning: "let a snapshot go",
        example: "release before",
        run: Run::Given(session::release),
        ..PLAIN
    },
    Spec {
        name: "begin",
        aliases: &["transaction"],
        group: COMMITS,
        meaning: "begin a transaction, until commit or rollback",
        more: "get, exists, mget, scan, prefix, count and export see what it has written, over \
               what was stored at its beginning, in every keyspace; nobody else sees it before \
               commit. Keyspaces are made and dropped at once, and import waits for its end.",
        example: "begin",
        makes: Makes::Database,
        run: Run::Alone(session::begin),
        ..PLAIN
    },
    Spec {
        name: "batch",
        group: COMMITS,
        meaning: "collect what store and delete say, until commit or abort",
        more: "Nothing of it is visible before commit, not to this session either, and then all \
               of it is, across keyspaces. Unlike a transaction it conflicts with nobody.",
        example: "batch",
        makes: Makes::Database,
        run: Run::Alone(session::batch),
        ..PLAIN
    },
    Spec {
        name: "savepoint",
        group: COMMITS,
        places: &[optional("NAME", "name", Kind::Free)],
        meaning: "mark a point to roll back to, as NAME or p1, p2, …",
        more: "Of two with one NAME the later one counts.",
        example: "savepoint half",
        run: Run::Given(session::savepoint),
        ..PLAIN
    },
    Spec {
        name: "commit",
        group: COMMITS,
        meaning: "store the transaction or batch, all or nothing",
        more: "A transaction fails if something that it has read was changed since it began, as \
               by the drop of a keyspace; then it is rolled back. A batch that fails is kept, for \
               another commit or abort.",
        example: "commit",
        run: Run::Alone(session::commit),
        ..PLAIN
    },
    Spec {
        name: "rollback",
        aliases: &["abort"],
        group: COMMITS,
        places: &[optional("SAVEPOINT", "savepoint", Kind::Savepoint)],
        meaning: "give up the transaction or batch, or undo to SAVEPOINT",
        more: "What was read since a SAVEPOINT still counts at the commit.",
        example: "rollback half",
        run: Run::Given(session::rollback),
        ..PLAIN
    },
    Spec {
        name: "import",
        aliases: &["load"],
        group: FILES,
        places: &[FILE],
        options: &[
            FORMAT,
            flag("--header"),
            with("--key", "COLUMN", Kind::Free),
            with("--delimiter", "C", Kind::Free),
            with("--encoding", "E", Kind::OneOf(Encoding::NAMES)),
            flag("--skip-bad"),
            flag("--ack"),
            flag("--progress"),
        ],
        meaning: "store each row of FILE; - is standard input",
        more: "The format goes by the extension: .tsv .txt (key, tab, value; or one key on each \
               line), .csv (key,value) and .jsonl .ndjson ({\"key\": \"k\", \"value\": \"v\"} \
               or [\"k\", \"v\"]; bytes that are not text as {\"base64\": \"/w==\"}).",
        details: topics::IMPORT,
        example: "import words.txt",
        makes: Makes::Database,
        run: Run::Given(import::import),
        ..PLAIN
    },
    Spec {
        name: "export",
        aliases: &["dump", "save"],
        group: FILES,
        places: &[FILE],
        options: &[FORMAT, flag("--skip-damaged"), AT],
        meaning: "write the keyspace in use to FILE, for import",
        more: "The format goes by the extension as for import. A file of that name is replaced \
               only once the export is complete. FILE may also be a pipe, a device, or - for \
               standard output, as tsv unless --format says otherwise; the summary then goes to \
               standard error. --skip-damaged reads on over blocks that cannot be read, tells \
               which keys are missing or may be out of date, and fails if there are any.",
        example: "export dump.csv",
        run: Run::Given(export::export),
        ..PLAIN
    },
    Spec {
        name: "source",
        aliases: &[".read"],
        group: FILES,
        places: &[FILE],
        meaning: "run the commands in FILE",
        more: "It ends at its first error, unless the shell was started with --keep-going.",
        example: "source setup.txt",
        makes: Makes::Database,
        run: Run::Given(control::source),
        ..PLAIN
    },
    Spec {
        name: "sync",
        group: ENGINE,
        meaning: "make everything stored so far survive a power cut",
        example: "sync",
        run: Run::Alone(engine::sync),
        ..PLAIN
    },
    Spec {
        name: "flush",
        group: ENGINE,
        meaning: "move what is in memory into a segment file",
        example: "flush",
        run: Run::Alone(engine::flush),
        ..PLAIN
    },
    Spec {
        name: "stats",
        aliases: &["info"],
        group: ENGINE,
        meaning: "print the state of the engine",
        details: topics::STATS,
        example: "stats",
        run: Run::Alone(engine::stats),
        ..PLAIN
    },
    Spec {
        name: "segments",
        aliases: &["runs"],
        group: ENGINE,
        options: &[flag("--all")],
        meaning: "draw the runs on disk as layers, newest first",
        more: "For each run: a bar as wide as it is large, its size, versions, segments, \
               tombstones, age, and first and last key. The light end of a bar is what merges \
               have trimmed off its files, and goes as they do. --all adds a line for each \
               segment.",
        example: "segments",
        run: Run::Given(engine::segments),
        ..PLAIN
    },
    Spec {
        name: "explain",
        group: ENGINE,
        places: &[KEY],
        options: &[AT],
        meaning: "tell where a get of KEY looks, and what it meets",
        more: "Memtables and runs, newest first: what each filter says, whether it was right, \
               blocks in memory or on disk, versions and tombstones, and the answer.",
        example: "explain greeting",
        run: Run::Given(explain::explain),
        ..PLAIN
    },
    Spec {
        name: "verify",
        aliases: &["check"],
        group: ENGINE,
        meaning: "read every block on disk and report all damage",
        more: "Checksums, the order of keys, counts, whether the index finds every key, and the \
               logs. Fails if anything is damaged.",
        example: "verify",
        run: Run::Alone(engine::verify),
        ..PLAIN
    },
    Spec {
        name: "set_threshold",
        group: ENGINE,
        places: &[needed("SIZE", "size", Kind::Free)],
        meaning: "set the size at which a memtable is full",
        more: "From the next memtable on, until the database is closed. SIZE is a number of \
               bytes, or one with KiB, MiB or GiB.",
        example: "set_threshold 4MiB",
        makes: Makes::Database,
        run: Run::Given(engine::set_threshold),
        ..PLAIN
    },
    Spec {
        name: "compact",
        aliases: &["merge", "vacuum"],
        group: MERGING,
        places: RANGE,
        meaning: "merge all runs into one, or the keys from FROM up to TO",
        more: "Runs are merged by themselves in the background; this does what is left of it, \
               and waits. Old versions go, and deleted keys with them, but what a snapshot of \
               this session sees stays. FROM and TO are keys of the keyspace in use; TO itself \
               is left out.",
        example: "compact user:a user:m",
        run: Run::Given(compact::compact),
        ..PLAIN
    },
    Spec {
        name: "pause_compaction",
        group: MERGING,
        meaning: "merge nothing until resume_compaction",
        more: "What a merge is writing it finishes. Runs pile up meanwhile.",
        example: "pause_compaction",
        makes: Makes::Database,
        run: Run::Alone(compact::pause),
        ..PLAIN
    },
    Spec {
        name: "resume_compaction",
        group: MERGING,
        meaning: "let merges go on",
        example: "resume_compaction",
        run: Run::Alone(compact::resume),
        ..PLAIN
    },
    Spec {
        name: "checkpoint",
        aliases: &["copy"],
        group: COPIES,
        places: &[needed("DIR", "directory", Kind::File)],
        meaning: "make DIR a database with everything stored so far",
        more: "DIR is made, or is empty. Segments get a second name there and are not copied, \
               where DIR is on the same file system. Reading and writing go on meanwhile. \
               Open it with --path DIR.",
        example: "checkpoint before-the-change",
        run: Run::Given(copies::checkpoint),
        ..PLAIN
    },
    Spec {
        name: "backup",
        group: COPIES,
        places: &[needed("DIR", "directory", Kind::File)],
        options: &[with("--keep", "N", Kind::Free), with("--label", "TEXT", Kind::Free)],
        meaning: "put a backup of everything stored so far into DIR",
        more: "Only what DIR does not have yet is copied. --keep N deletes all but the newest N \
               afterwards.",
        example: "backup backups --keep 24",
        run: Run::Given(copies::backup),
        ..PLAIN
    },
    Spec {
        name: "backups",
        group: COPIES,
        places: &[needed("DIR", "directory", Kind::File)],
        meaning: "list the backups in DIR",
        example: "backups backups",
        run: Run::Given(copies::backups),
        ..PLAIN
    },
    Spec {
        name: "restore",
        group: COPIES,
        places: &[
            needed("DIR", "directory", Kind::File),
            needed("TARGET", "directory of the database", Kind::File),
        ],
        options: &[with("--backup", "ID", Kind::Free)],
        meaning: "make TARGET a database of the newest backup in DIR",
        more: "TARGET is made, or is empty. What is damaged is named, and nothing is left of \
               TARGET then. --backup ID takes an earlier one.",
        example: "restore backups restored",
        run: Run::Given(copies::restore),
        ..PLAIN
    },
    Spec {
        name: "load_index",
        group: INDEX,
        meaning: "read all segments, and make their index in memory again",
        more: "Readers and writers go on meanwhile. An open needs it no more: it reads the \
               index that each segment stores.",
        example: "load_index",
        run: Run::Alone(index::load),
        ..PLAIN
    },
    Spec {
        name: "save_index_snapshot",
        group: INDEX,
        places: &[FILE],
        meaning: "save the index of all segments to FILE",
        example: "save_index_snapshot warm.index",
        run: Run::Given(index::save),
        ..PLAIN
    },
    Spec {
        name: "load_index_snapshot",
        group: INDEX,
        places: &[FILE],
        meaning: "load the index of all segments from FILE",
        more: "Segments that are not in FILE keep the index that they have. A damaged file, or \
               one of another database, changes nothing.",
        example: "load_index_snapshot warm.index",
        run: Run::Given(index::restore),
        ..PLAIN
    },
    Spec {
        name: "help",
        aliases: &["?", ".help", "h"],
        group: SHELL,
        places: &[optional("COMMAND | TOPIC", "command", Kind::Topic)],
        meaning: "list the commands, or tell all about one",
        more: "Topics: quoting, formats, scripts, terminal, json.",
        example: "help scan",
        makes: Makes::Database,
        run: Run::Given(help::help),
        ..PLAIN
    },
    Spec {
        name: "timer",
        aliases: &[".timer"],
        group: SHELL,
        places: &[needed("", "word on or off", Kind::OneOf(control::SWITCH))],
        meaning: "tell after each command how long it took",
        more: "On standard error, so that the answers stay what they are.",
        example: "timer on",
        makes: Makes::Database,
        run: Run::Given(control::timer),
        ..PLAIN
    },
    Spec {
        name: "exit",
        aliases: &["quit", "q", ".exit", ".quit", ":q", "bye"],
        group: SHELL,
        meaning: "leave; so does the end of the input",
        example: "exit",
        run: Run::Given(control::exit),
        ..PLAIN
    },
];
