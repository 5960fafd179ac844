//! What changes no answer: keyspaces that come and go, merges asked for, memtables of other sizes,
//! index snapshots.

use std::path::PathBuf;

use alluvium::{Compression, Error, KeyspaceOptions, WriteBatch};

use crate::{DEFAULT, NAMES, World};

impl World {
    pub(crate) fn create_keyspace(&mut self) {
        let name = *self.random.pick(&NAMES[1..]);
        // One that exists is opened once more: the same keyspace, another handle to it, and perhaps
        // other options, which count for what is written later.
        let compression = *self.random.pick(&[Compression::None, Compression::Lz4]);
        let options = KeyspaceOptions::new().compression(compression);
        let keyspace = self.db().keyspace_with(name, options).unwrap();
        assert_eq!(keyspace.options(), options);
        if compression == Compression::Lz4 {
            self.compressed.insert(name.to_owned());
        }
        self.handles.insert(name.to_owned(), keyspace);
        self.tables.entry(name.to_owned()).or_default();
        self.check_names();
    }

    pub(crate) fn drop_keyspace(&mut self) {
        let name = self.name();
        if name == DEFAULT {
            return;
        }
        self.db().drop_keyspace(&name).unwrap();
        self.tables.remove(&name);
        self.compressed.remove(&name);
        self.stale.extend(self.handles.remove(&name));
        self.check_names();
    }

    /// To a free name, or to one that is taken.
    pub(crate) fn rename_keyspace(&mut self) {
        let from = self.name();
        let to = (*self.random.pick(&NAMES[1..])).to_owned();
        let renamed = self.db().rename_keyspace(&from, &to);
        let free = self.db().keyspace_if_exists(&to).unwrap().is_none();
        assert_eq!(free, !self.tables.contains_key(&to) && renamed.is_err());
        if from == DEFAULT {
            assert!(matches!(renamed, Err(Error::InvalidArgument { .. })));
            return;
        }
        if self.tables.contains_key(&to) {
            assert!(matches!(renamed, Err(Error::KeyspaceExists { name, .. }) if name == to));
            return;
        }
        renamed.unwrap();
        let table = self.tables.remove(&from).expect("the name was picked from the tables");
        self.tables.insert(to.clone(), table);
        if self.compressed.remove(&from) {
            self.compressed.insert(to.clone());
        }
        let handle = self.handles.remove(&from).expect("each keyspace has a handle");
        assert_eq!(handle.name(), to);
        self.handles.insert(to, handle);
        self.check_names();
    }

    /// A handle of a dropped keyspace stays dead, whether or not the name was used again.
    pub(crate) fn use_stale_handle(&mut self) {
        let key = self.random.key();
        let Some(stale) = self.stale.last() else { return };
        let dropped =
            |result: Result<(), Error>| matches!(result, Err(Error::KeyspaceDropped { .. }));
        assert!(dropped(stale.put(&key, "x").map(drop)));
        assert!(dropped(stale.delete(&key).map(drop)));
        assert!(dropped(stale.get(&key).map(drop)));
        let mut batch = WriteBatch::new();
        batch.put(&key, "half of a batch that must not happen");
        batch.put_in(stale, &key, "x");
        assert!(dropped(self.db().write(&batch).map(drop)));
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Merges now, all or a range, or not for a while.
    pub(crate) fn compact(&mut self) {
        let db = self.db().clone();
        let name = self.name();
        let bounds = (self.random.bound(), self.random.bound());
        match self.random.below(6) {
            0 => db.compact().unwrap(),
            1..=2 => match self.handles.get(&name) {
                Some(keyspace) => keyspace.compact_range(bounds).unwrap(),
                None => db.compact_range(bounds).unwrap(),
            },
            3 => {
                let compaction = db.start_compaction_of_all().unwrap();
                if self.random.one_in(2) {
                    compaction.cancel();
                    compaction.wait().unwrap();
                }
            }
            _ => {
                db.pause_compaction();
                self.put();
                db.flush().unwrap();
                db.resume_compaction();
            }
        }
        assert!(db.health().is_healthy(), "{}", db.health());
    }

    /// What must not show in any answer.
    pub(crate) fn maintain(&mut self) {
        let path = self.index_path();
        let db = self.db().clone();
        match self.random.below(5) {
            4 => assert!(db.verify().unwrap().is_sound()),
            0 => {
                db.rebuild_index().unwrap();
            }
            1 => {
                db.save_index_snapshot(&path).unwrap();
                self.index_saved = true;
            }
            2 if self.index_saved => {
                db.load_index_snapshot(&path).unwrap();
            }
            _ => {
                let bytes = *self.random.pick(&[4 << 10, 8 << 10, 16 << 10]);
                let set = db.set_memtable_bytes(bytes);
                assert!(matches!(set, Ok(()) | Err(Error::InvalidArgument { .. })), "{set:?}");
            }
        }
    }
}
