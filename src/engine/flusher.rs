//! The flush thread: what reaches it, and in which order it does it.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::cleanup::Reclaim;
use super::{Engine, GRACE_MS, View};
use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::sync::Arc;

/// How often the flush thread looks after what nobody tells it about, in milliseconds.
const TICK_MS: u64 = 500;

/// Work for the flush thread.
#[derive(Debug)]
pub(super) enum FlushJob {
    /// A memtable was sealed.
    Sealed,
    /// Flush everything that is sealed by now, and say how it went.
    Flush {
        reply: Sender<Result<()>>,
    },
    /// A superseded view.
    Retire(Arc<View>),
    /// Writers find little memory, or none.
    Pressure,
    /// The block cache is over its bound.
    Evict,
    /// Segments that no run refers to any more.
    Free(Vec<Arc<Segment>>),
    /// Segments with new tables, to take the place of those over the same files.
    Replace {
        fresh: Vec<Arc<Segment>>,
        reply: Sender<()>,
    },
    /// Read the manifest back.
    CheckManifest {
        reply: Sender<Result<()>>,
    },
    /// A keyspace was dropped, or a snapshot that held one back released.
    Cleanup,
    Stop,
}

/// The loop of the flush thread.
pub(super) fn run_flush(engine: &Engine, jobs: &Receiver<FlushJob>) {
    let mut reclaim = Reclaim::new();
    let tick = Duration::from_millis(TICK_MS);
    let mut next_tick = Instant::now() + tick;
    let mut retry = false;
    loop {
        let job = jobs.recv_deadline(next_tick);
        match job {
            Ok(FlushJob::Stop) | Err(RecvTimeoutError::Disconnected) => {
                return reclaim.collect(&engine.core, 0);
            }
            Ok(FlushJob::Retire(view)) => reclaim.retire(view),
            Ok(FlushJob::Free(segments)) => {
                segments.into_iter().for_each(|segment| reclaim.retire_file(segment));
            }
            Ok(FlushJob::Evict) => reclaim.evict(&engine.core),
            Ok(FlushJob::Flush { reply }) => {
                let result = engine.flush_sealed(&mut reclaim);
                retry = result.is_err();
                // The caller may have gone; the flush counts either way.
                let _ = reply.send(result);
            }
            Ok(FlushJob::Sealed) => {
                if !retry && engine.core.flush_is_due() {
                    retry = engine.flush_sealed(&mut reclaim).is_err();
                }
            }
            Ok(FlushJob::Pressure) => {
                engine.core.memory_asked_for();
                if !retry && engine.core.is_pressed() {
                    retry = engine.relieve(&mut reclaim).is_err();
                }
            }
            Ok(FlushJob::Replace { fresh, reply }) => {
                engine.core.publish_replaced(&fresh, &mut reclaim);
                // As above.
                let _ = reply.send(());
            }
            Ok(FlushJob::CheckManifest { reply }) => {
                // As above.
                let _ = reply.send(engine.core.check_manifest());
            }
            Ok(FlushJob::Cleanup) => engine.clean_up(&mut reclaim),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Also when there is always another job: they must not keep memory from being freed.
        if Instant::now() >= next_tick {
            next_tick = Instant::now() + tick;
            if retry && engine.core.stopped().is_none() || engine.core.flush_is_due() {
                retry = engine.flush_sealed(&mut reclaim).is_err();
            }
            engine.clean_up(&mut reclaim);
            reclaim.collect(&engine.core, GRACE_MS);
        }
    }
}

impl Engine {
    /// Flushes everything written before the call. Called by foreground threads and the close.
    pub(crate) fn flush(&self) -> Result<()> {
        self.core.refuse_on_own_thread()?;
        self.seal_active()?;
        let (reply, answer) = bounded(1);
        self.core.send_flush(FlushJob::Flush { reply });
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Makes room for writers: flushes what is sealed, and the active memtable too where that alone
    /// has outgrown the budget.
    fn relieve(&self, reclaim: &mut Reclaim) -> Result<()> {
        if self.core.view.load().sealed.is_empty() && self.core.over_budget() {
            self.seal_active()?;
        }
        self.flush_sealed(reclaim)
    }
}
