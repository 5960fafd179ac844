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
//! to the key has come to pass. One by a flush means that the flush ended between 1 and 4. What
//! takes long is done once for each decision: the wait for memory, and the log file of a value that
//! is too big for a memtable. From the second try on nothing is between 1 and 4 but the read, and,
//! where none is ready, a wait for a log. A load that flushes without a pause can still refuse many
//! tries: there is no bound on their number.

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
            // A decision goes by the value, and holds for as long as that is what it was.
            let (since, decided) = (Some(seen), std::mem::take(&mut current));
            let again = || {
                self.refuse_early()?;
                (seen, current) = self.get_seen(keyspace, key)?;
                Ok((current == decided).then_some(seen))
            };
            let (id, durability) = (id_of(keyspace), Durability::Buffered);
            if self.write_one_if(id, key, value, durability, since, again)?.is_some() {
                return Ok(answer);
            }
        }
    }
}
