//! What `help` tells besides the table: topics, and details of two commands.

/// A page of `help`, at most a screen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

impl Topic {
    /// The topic of this name, in lower case.
    pub(crate) fn named(name: &[u8]) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name.as_bytes() == name)
    }
}

pub(crate) const TOPICS: &[Topic] = &[
    Topic { name: "quoting", text: QUOTING },
    Topic { name: "formats", text: FORMATS },
    Topic { name: "scripts", text: SCRIPTS },
    Topic { name: "terminal", text: TERMINAL },
    Topic { name: "json", text: JSON },
];

const QUOTING: &str = r#"
Any bytes can be entered.

    store k it's 1, 2        the value is the rest of the line
    store 'a key' ' x '      '...' is taken as it is, newlines included
    store "a key" "x\n"      "..." has escapes, and may hold newlines, too
    get k\x00                escapes work also without quotes

Escapes:
    \n \t \r \0              newline, tab, carriage return, zero
    \\ \" \'                 the character itself
    \xNN                     the byte with these two hexadecimal digits
    \u{N}                    the character of this hexadecimal number, in UTF-8

A word needs quotes if it holds blanks, begins with a quote, is empty, or looks
like an option: get '--at'. Names of commands may be in upper or lower case.
"#;

const FORMATS: &str = r#"
Files that import reads and export writes; by the extension, or --format.

    tsv    .tsv .txt         key, tab, value with escapes as in the shell,
                             or only a key on each line: what scan prints
    csv    .csv              key,value with quotes as in RFC 4180
    jsonl  .jsonl .ndjson    {"key": "k", "value": "v"} or ["k", "v"];
                             {"base64": "/w=="} for what is not text

What one writes the other reads, whatever the bytes. help import tells how to
read files of other programs.
"#;

const SCRIPTS: &str = r##"
Commands may come from standard input, -e, or source FILE, one on each line.

    # a comment              to the end of the line, at its start only
    source FILE              runs the commands of a file

Lines may end as on Windows, and the last one need not end. A byte order mark
is skipped. A script ends at its first error, which names its line, and then
the exit status is 1; with --keep-going it goes on, and ends with 1 all the
same. With -e, a key that get, mget or exists does not find also makes it 1,
and get says so on standard error.

Ctrl-C ends a script with status 130; an import says how much it has stored.
A transaction or batch that is not committed at the end is an error, and
nothing of it is stored. --no-create and --read-only make sure that nothing
new appears.
"##;

const TERMINAL: &str = r#"
At a terminal lines can be edited, and are kept for the next session, but not
those that begin with a blank.

    tabulator                completes commands, keys, names and files
    up, ctrl-R               earlier commands
    ctrl-C                   calls off the line, or ends what takes long
    ctrl-D                   leaves, on an empty line

A long answer stops at the end of each page:

    space, page down         the next page
    enter, down              the next line
    q, escape, ctrl-C        enough
    any other character      enough, and begins the next command

--no-history keeps nothing, NO_COLOR=1 switches the colours off.
"#;

const JSON: &str = r#"
With --json each answer is a line that holds one JSON object.

    get k                    {"key":"k","value":"v"}
    get absent               {"key":"absent","value":null}
    store k v                {"ok":true}
    scan                     a line for each key, which import reads back

Bytes that are not UTF-8 are {"base64":"/w=="}. Complaints are lines on
standard error, {"error":"...","input":"...","line":1}. Numbers have no
separators.
"#;

/// The options of `import`.
pub(super) const IMPORT: &str = r#"
    --header         the first row only names the columns
    --key COLUMN     which column is the key: its name in the first row, or its
                     number from 1. The value is the other column, or if there
                     are several a row of all others. In JSON lines the key is
                     this member, and the value the whole object
    --delimiter C    what stands between columns: one character, or tab
    --encoding E     utf-8, utf-16, utf-16le, utf-16be or latin-1; what is
                     stored is UTF-8 then. Without it bytes are taken as they
                     are, and what looks like UTF-16 is refused
    --skip-bad       leave out rows that are malformed, count them and show
                     the first ones
    --ack            print a line for each stored batch of 1,000 rows
    --progress       report also without a terminal

Rows before a malformed one are stored, and the message says how many.
"#;

/// What each line of `stats` means.
pub(super) const STATS: &str = r#"
    visible sequence       number of the last operation that readers see
    memtables              data in memory: sealed ones wait to be flushed; the
                           last figure was flushed and is about to be freed
    runs                   sorted runs on disk, their files, and the versions
                           in them, old ones and deletions included
    indexes rebuilt        segments whose index was damaged at the open
    log                    files that a recovery would read, and bytes that a
                           power cut may take
    log syncs              how often the log was made durable; rewritten is
                           what a recovery had to write again for that
    flushes                memtables written to disk since the open
    merges                 how often two runs were merged, and in how many
                           steps; bytes read and written for it
    amplification          bytes written for each byte flushed; files on disk
                           to live data; runs that a read may have to look at
    block cache            memory for blocks; reads that found theirs, or not
    deleted stretches      ranges of deleted keys that scans jump over
    snapshots              live ones, and the age of the oldest
    kept for snapshots     old versions that merges kept only for them
    transactions           open ones, and what they take in memory; commits,
                           conflicts, and how often others had to wait
    superseded views       what iterators hold, and files that wait for them
    stalls                 writes that waited for memory, or for a log file
    paced writes           writes that were slowed down to the disk's speed
    refused writes         writes that failed, and why the last one waited

The last line is the state of the background work, healthy or what is wrong.
"#;
