//! Reads a whole segment back and says everything that is wrong with it.
//!
//! Unlike a read it does not stop at the first damage, and it believes neither the tables in memory
//! nor those on disk: both are compared with the data. Called on a foreground thread, past the
//! cache.

use super::parts::{Expect, check_header, read_footer};
use super::reader::Segment;
use super::scan::Entries;
use super::tables::Tables;
use crate::error::{Error, Result};
use crate::format::data_block::Block;
use crate::format::footer::FOOTER_BYTES;
use crate::ids::Uuid;

/// What a segment was found to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verified {
    /// Data blocks that are sound.
    pub(crate) blocks: u64,
    /// Versions in them.
    pub(crate) entries: u64,
    /// User keys in them.
    pub(crate) keys: u64,
}

impl Segment {
    /// Reads everything, and hands `report` each damage.
    pub(crate) fn verify(&self, database: Uuid, report: &mut dyn FnMut(Error)) -> Verified {
        if let Err(error) = self.verify_frame(database) {
            report(error);
        }
        if let Err(error) = self.verify_stored_tables() {
            report(error);
        }
        let mut pass = Pass::new(self);
        let mut verified = Verified::default();
        for i in 0..self.index().len() {
            let added = self.file().read_from_file(self.index(), i).and_then(|block| {
                verified.blocks += 1;
                pass.add(&block, i)
            });
            match added {
                Ok(()) => {}
                Err(error) => {
                    report(error);
                    // What follows is judged by itself.
                    (pass.whole, pass.after_damage) = (false, true);
                    pass.entries.forget_order();
                }
            }
        }
        let found = pass.entries.properties();
        (verified.entries, verified.keys) = (found.entries(), pass.entries.keys);
        if let Some(lost) = pass.lost {
            report(lost);
        }
        if pass.whole && !found.same_counts(self.properties()) {
            let want = format!("{:?}", self.properties());
            let got = format!("{found:?}");
            let at = self.file().footer.properties.offset;
            report(self.file().file.corruption(at, "properties", want, got));
        }
        verified
    }

    /// Length, header and footer.
    fn verify_frame(&self, database: Uuid) -> Result<()> {
        let file = self.file();
        let properties = self.properties();
        let uuid = self.uuid();
        let bytes = self.bytes();
        let entries = properties.entries();
        let created_ms = properties.created_ms;
        let expect = Expect { database, uuid, bytes, entries, created_ms };
        let len = file.file.len()?;
        if len != bytes {
            let want = format!("{bytes} bytes");
            let got = format!("{len} bytes");
            return Err(file.file.corruption(0, "segment length", want, got));
        }
        check_header(&file.file, &expect)?;
        let at = bytes - FOOTER_BYTES as u64;
        let footer = read_footer(&file.file, &expect, at)?;
        if footer != file.footer {
            let want = format!("{:?}", file.footer);
            let got = format!("{footer:?}");
            return Err(file.file.corruption(at, "segment footer", want, got));
        }
        Ok(())
    }

    /// What the file says of itself is what is in memory.
    fn verify_stored_tables(&self) -> Result<()> {
        let file = self.file();
        let stored = Tables::read(&file.file, self.uuid(), &file.footer)?.encode();
        let memory = self.tables().encode();
        let parts = [
            ("index", stored.0 == memory.0, file.footer.index.offset),
            ("filter", stored.1 == memory.1, file.footer.filter.map_or(0, |part| part.offset)),
            ("properties", stored.2 == memory.2, file.footer.properties.offset),
        ];
        for (what, same, at) in parts {
            if !same {
                return Err(file.file.corruption(at, what, "what is in memory", "another"));
            }
        }
        Ok(())
    }
}

/// The state of a pass over the data blocks.
struct Pass<'a> {
    segment: &'a Segment,
    entries: Entries,
    /// The first key that the tables in memory would not find.
    lost: Option<Error>,
    /// Whether every block so far was sound.
    whole: bool,
    /// Whether the block before could not be read.
    after_damage: bool,
}

impl<'a> Pass<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self { segment, entries: Entries::new(), lost: None, whole: true, after_damage: false }
    }

    fn add(&mut self, block: &Block, i: usize) -> Result<()> {
        let Self { segment, entries, lost, after_damage, .. } = self;
        let index = segment.index();
        let file = segment.file();
        let keyspace = block.keyspace();
        let handle = index.handle(i);
        let check = |hash: u64, key: &[u8]| {
            let found = index.find(keyspace, key);
            // The first key after damage may have begun before it.
            let may_go_on = std::mem::take(after_damage);
            let right = found == i || may_go_on && found < i;
            if lost.is_some() || right && segment.may_contain(hash) {
                return;
            }
            let (what, at) = match right {
                true => ("filter", file.footer.filter.map_or(0, |part| part.offset)),
                false => ("index", file.footer.index.offset),
            };
            let want = format!("to find {} in block {i}", key.escape_ascii());
            *lost = Some(file.file.corruption(at, what, want, "not there"));
        };
        entries.add(block, handle, check).map_err(|entry| {
            let got =
                format!("entry {entry} at or before the one before it, or with another's tag");
            file.file.corruption(
                handle.offset,
                "data block",
                "keys in order, each with its tag",
                got,
            )
        })
    }
}
