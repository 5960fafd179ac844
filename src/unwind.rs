//! What may be used on after a panic that was caught: [`UnwindSafe`] and [`RefUnwindSafe`] for the
//! types that hold an engine, an iterator or bytes behind a trait object, where the compiler cannot
//! tell. All other public types have both from their fields; `tests/api/unwind.rs` has the table.
//!
//! It holds for these reasons:
//!
//! - What handles share is immutable, or an atomic number, or published whole in one step, or under
//!   a lock. What a panic may leave half changed under a lock nobody uses after it (`sync` says
//!   which locks that is about), and the writer stops.
//! - The caller's code (what `update` and `get_with` are given, iterators of keys, conversions to
//!   bytes) runs under no lock. What a call has taken by then (a held key, a view) ends with its
//!   guard.
//! - A handle, a snapshot and an iterator change nothing of their own through `&self`. What an
//!   iterator changes through `&mut self` is seen by its owner alone, and the compiler lets no
//!   `&mut` into `catch_unwind`.
//! - A [`Transaction`] changes through `&self`, but never while the caller's code runs.
//! - Bytes of a [`Value`] and what an [`Error`] says are fixed when they are made.
//! - [`Backups`] and [`DirStore`] change nothing of their own; what is in a store is whole or not
//!   there.
//!
//! An [`Fs`](crate::io::Fs) or a [`BackupStore`](crate::BackupStore) of the program's own is its
//! own concern: a panic in it is one in the call that used it.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::backups::Backups;
use crate::batch::WriteBatch;
use crate::builder::Builder;
use crate::compact::Compaction;
use crate::db::Db;
use crate::engine::copy::store::DirStore;
use crate::error::Error;
use crate::keyspace::Keyspace;
use crate::range::{Keys, Range, Values};
use crate::reader::Reader;
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::transaction_keyspace::TransactionKeyspace;
use crate::transaction_range::TransactionRange;
use crate::value::Value;

macro_rules! unwind_safe {
    ($($name:ident),* $(,)?) => {
        $(
            impl UnwindSafe for $name {}
            impl RefUnwindSafe for $name {}
        )*
    };
}

unwind_safe!(
    Backups,
    Builder,
    Compaction,
    Db,
    DirStore,
    Error,
    Keys,
    Keyspace,
    Range,
    Reader,
    Snapshot,
    Transaction,
    Value,
    Values,
    WriteBatch,
);

macro_rules! unwind_safe_while {
    ($($name:ident),* $(,)?) => {
        $(
            impl UnwindSafe for $name<'_> {}
            impl RefUnwindSafe for $name<'_> {}
        )*
    };
}

unwind_safe_while!(TransactionKeyspace, TransactionRange);
