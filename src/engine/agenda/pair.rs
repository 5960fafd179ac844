//! Two runs side by side, and the step of a merge that is about them. Plain data.

use crate::format::meta::BoundKey;
use crate::ids::RunId;
use crate::iter::two_way::TwoWay;
use crate::runs::source::RunSource;
use crate::runs::{Run, SegmentSet};
use crate::sync::Arc;

/// What a step is to work on.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// `None` rewrites what is in `older` alone.
    pub(crate) newer: Option<RunId>,
    pub(crate) older: RunId,
    /// The frontier: everything of the job's range before it is done. `None` at the beginning.
    pub(crate) from: Option<BoundKey>,
    /// The end of the job's range.
    pub(crate) to: Option<BoundKey>,
}

/// What lies in both runs, in order.
pub(crate) type Entries = TwoWay<RunSource>;

impl Step {
    /// A step over one run, from its beginning.
    pub(crate) fn alone(older: RunId) -> Self {
        Self { newer: None, older, from: None, to: None }
    }

    pub(crate) fn is_about(&self, run: RunId) -> bool {
        self.newer == Some(run) || self.older == run
    }

    /// Whether its runs are there, side by side.
    pub(crate) fn is_in(&self, set: &SegmentSet) -> bool {
        Pair::find(set, self).is_some()
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The frontier is here now.
    At(BoundKey),
    /// Nothing is left to do in the job's range.
    Done,
    /// The runs are no longer there, side by side.
    Gone,
    /// They changed under the step: try it again.
    Stale,
    /// The database is closing, or the job was cancelled.
    Stopped,
}

/// The two runs of a step, as one view has them.
pub(crate) struct Pair {
    pub(crate) newer: Option<Arc<Run>>,
    pub(crate) older: Arc<Run>,
    /// Everything older than both.
    pub(crate) below: Vec<Arc<Run>>,
}

impl Pair {
    /// The runs of a step, if they are there and adjacent.
    pub(crate) fn find(set: &SegmentSet, step: &Step) -> Option<Self> {
        let at = set.runs.iter().position(|run| run.id == step.newer.unwrap_or(step.older))?;
        let newer = step.newer.map(|_| Arc::clone(&set.runs[at]));
        let at = at + usize::from(newer.is_some());
        let older = set.runs.get(at).filter(|run| run.id == step.older)?;
        Some(Self { newer, older: Arc::clone(older), below: set.runs[at + 1..].to_vec() })
    }
}
