//! A run read from front to back for a merge: its segments one after the other, within their trims,
//! each opened when it is reached.
//!
//! Owned by one background thread. For reads in any order and direction there is [`super::cursor`].

use super::Run;
use crate::error::Result;
use crate::format::data_block::Unpacked;
use crate::format::meta::BoundKey;
use crate::iter::Source;
use crate::segment::SegmentSource;
use crate::sync::Arc;

/// The entries of a run from a user key on.
#[derive(Debug)]
pub(crate) struct RunSource {
    run: Arc<Run>,
    /// The reference after the one at hand.
    next_part: usize,
    /// The segment at hand; `None` past the end.
    part: Option<SegmentSource>,
}

impl RunSource {
    /// Stands at the first entry whose key is at or after `from`.
    pub(crate) fn new(run: Arc<Run>, from: Option<&BoundKey>) -> Result<Self> {
        let next_part = from.map_or(0, |from| run.first_not_before(from.keyspace, &from.key));
        let mut source = Self { run, next_part, part: None };
        source.next_part(from)?;
        Ok(source)
    }

    /// Goes to the first entry at or after `from` of the segments that are left.
    fn next_part(&mut self, from: Option<&BoundKey>) -> Result<()> {
        self.part = None;
        while let Some(part) = self.run.segments.get(self.next_part) {
            // An error leaves no segment, and none to come.
            let number = std::mem::replace(&mut self.next_part, self.run.segments.len());
            let from = from.map_or(&part.first, |from| from.max(&part.first));
            let segment = Arc::clone(&part.segment);
            let source = SegmentSource::new(segment, Some(from), part.to.as_ref())?;
            self.next_part = number + 1;
            if source.entry().is_some() {
                self.part = Some(source);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Source for RunSource {
    fn ahead(&self) -> Unpacked<'_> {
        self.part.as_ref().map(SegmentSource::ahead).unwrap_or_default()
    }

    fn pass(&mut self, count: usize) -> Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        if let Err(error) = part.pass(count) {
            self.next_part = self.run.segments.len();
            return Err(error);
        }
        if part.ahead().len() == 0 { self.next_part(None) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
