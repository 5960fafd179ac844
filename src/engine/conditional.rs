//! Read, decide, write: one key, as one step of the commit order.
//!
//! 1. Outside the section: load `visible`, which is *seen*; then read the key as every read does:
//!    the view, then `visible` again. All up to *seen* is in that view. (Up to the second `visible`
//!    it need not be: a write may have gone into a memtable that a rotation has put up meanwhile.)
//! 2. Outside: the caller's code decides. It runs again after a 4 that refuses if the value that
//!    is read then is another.
//! 3. Encode, and enter the section with *seen*.
//! 4. Inside (`section`): refuse if a memtable has a version of the key above *seen*, or if
//!    memtables with sequences above it have been flushed, in which one may have been; then from 1
//!    again. Otherwise commit like any write.
//!
//! Nobody waits for another writer's decision. Each refusal by a version means that another write
//! to the key has come to pass; those by a flush are as rare as flushes.

use super::read::id_of;
use super::write::check_sizes;
use super::{Engine, KeyspaceState};
use crate::error::Result;
use crate::options::Durability;
use crate::value::Value;

/// What the caller wants to become of a key, and what it answers if that comes to pass.
pub(crate) enum Decision<B, R> {
    Leave(R),
    Put(B, R),
    Delete(R),
}

impl Engine {
    /// Changes a key from what it is to what `decide` makes of it, with nothing in between.
    pub(crate) fn write_conditional<B: AsRef<[u8]>, R>(
        &self,
        keyspace: Option<&KeyspaceState>,
        key: &[u8],
        mut decide: impl FnMut(Option<Value>) -> Decision<B, R>,
    ) -> Result<R> {
        check_sizes(key, &[])?;
        self.refuse_early()?;
        let (mut seen, mut current) = self.get_seen(keyspace, key)?;
        loop {
            let (value, answer) = match decide(current.clone()) {
                // The read was one step of the commit order already.
                Decision::Leave(answer) => return Ok(answer),
                Decision::Put(value, answer) => (Some(value), answer),
                Decision::Delete(answer) => (None, answer),
            };
            let value = value.as_ref().map(AsRef::as_ref);
            let durability = Durability::Buffered;
            let decided = current;
            // A decision goes by the value, and holds for as long as that is what it was.
            loop {
                let id = id_of(keyspace);
                if self.write_one_if(id, key, value, durability, Some(seen))?.is_some() {
                    return Ok(answer);
                }
                self.refuse_early()?;
                (seen, current) = self.get_seen(keyspace, key)?;
                if current != decided {
                    break;
                }
            }
        }
    }
}
