//! What the crate's error is as one of the system's.

use std::collections::HashSet;
use std::error::Error as _;
use std::io::ErrorKind;

use super::*;

fn system(kind: ErrorKind) -> Arc<io::Error> {
    Arc::new(io::Error::new(kind, "the system's"))
}

/// One of each variant, or more, and its kind.
fn table() -> Vec<(Error, ErrorKind)> {
    let path = || PathBuf::from("/db/1.seg");
    let io = |kind| Error::io("read", &path(), io::Error::new(kind, "the system's"));
    let stopped = |cause| Error::WriterStopped { cause: Arc::new(cause) };
    let corruption = || Error::Corruption {
        file: path(),
        offset: 7,
        what: "block",
        expected: "1".into(),
        got: "2".into(),
    };
    let damaged = Error::BackupDamaged {
        object: path(),
        offset: 7,
        what: "record",
        expected: "1".into(),
        got: "2".into(),
    };
    let unsupported = Error::UnsupportedFormat {
        file: path(),
        what: "version",
        expected: "1".into(),
        got: "2".into(),
    };
    let waited = Duration::from_millis(5);
    let overloaded = |cause| Error::Overloaded { waited, cause: Some(Arc::new(cause)) };
    let full = || io(ErrorKind::StorageFull);
    let quota =
        Error::StorageFull { op: "write", path: path(), source: system(ErrorKind::QuotaExceeded) };
    vec![
        (io(ErrorKind::NotFound), ErrorKind::NotFound),
        (io(ErrorKind::PermissionDenied), ErrorKind::PermissionDenied),
        (io(ErrorKind::Interrupted), ErrorKind::ResourceBusy),
        (io(ErrorKind::WouldBlock), ErrorKind::ResourceBusy),
        (full(), ErrorKind::StorageFull),
        (quota, ErrorKind::QuotaExceeded),
        (corruption(), ErrorKind::InvalidData),
        (damaged, ErrorKind::InvalidData),
        (unsupported, ErrorKind::Unsupported),
        (Error::Locked { path: path() }, ErrorKind::ResourceBusy),
        (Error::DirectoryLost { path: path() }, ErrorKind::NotFound),
        (Error::Forked, ErrorKind::Other),
        (Error::InvalidArgument { what: "a rule".into() }, ErrorKind::InvalidInput),
        (Error::KeyspaceExists { name: "k".into() }, ErrorKind::AlreadyExists),
        (Error::KeyspaceDropped { name: "k".into() }, ErrorKind::NotFound),
        (Error::Overloaded { waited, cause: None }, ErrorKind::TimedOut),
        (overloaded(full()), ErrorKind::StorageFull),
        (overloaded(io(ErrorKind::PermissionDenied)), ErrorKind::PermissionDenied),
        (overloaded(io(ErrorKind::Interrupted)), ErrorKind::ResourceBusy),
        (Error::Conflict { keyspace: None, key: None }, ErrorKind::ResourceBusy),
        (Error::RequirementFailed { keyspace: "k".into(), key: vec![1] }, ErrorKind::Other),
        (Error::TransactionTooBig { bytes_max: 1 }, ErrorKind::OutOfMemory),
        (Error::KeyHeld { waited }, ErrorKind::ResourceBusy),
        (Error::ReadOnly { path: path() }, ErrorKind::ReadOnlyFilesystem),
        (stopped(full()), ErrorKind::StorageFull),
        (stopped(io(ErrorKind::WouldBlock)), ErrorKind::ResourceBusy),
        (stopped(corruption()), ErrorKind::InvalidData),
        (stopped(Error::Panicked { during: "a sync" }), ErrorKind::Other),
        (Error::Panicked { during: "a sync" }, ErrorKind::Other),
        (Error::Closed, ErrorKind::Other),
    ]
}

#[test]
fn as_one_of_the_systems_it_keeps_kind_sentence_and_source() {
    for (error, kind) in table() {
        let sentence = error.to_string();
        let source = error.source().map(ToString::to_string);
        let as_system = io::Error::from(error.clone());
        assert_eq!(as_system.kind(), kind, "{error:?}");
        assert_eq!(as_system.to_string(), sentence);
        assert_eq!(as_system.source().map(ToString::to_string), source);
        let inside = as_system.into_inner().and_then(|inside| inside.downcast::<Error>().ok());
        assert_eq!(inside.map(|inside| format!("{inside:?}")), Some(format!("{error:?}")));
    }
}

#[test]
fn the_table_has_every_variant() {
    let text = include_str!("../error.rs");
    let (_, body) = text.split_once("pub enum Error {").expect("it is there");
    let (body, _) = body.split_once("\n}\n").expect("it ends");
    let is_variant = |line: &&str| {
        line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase))
    };
    let variants = body.lines().filter(is_variant).count();
    let found: HashSet<_> =
        table().iter().map(|(error, _)| std::mem::discriminant(error)).collect();
    assert!(variants > 10);
    assert_eq!(found.len(), variants);
}
