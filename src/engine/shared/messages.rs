//! Messages between threads: what the log thread and the flush thread are asked for.

use std::path::PathBuf;

use crate::engine::shared::view::View;
use crate::error::Result;
use crate::log::SpareLog;
use crate::options::KeyspaceOptions;
use crate::segment::Segment;
use crate::sync::Arc;
use crate::sync::channel::Sender;

/// With more names than this in one edit, further requests wait for the next.
pub(crate) const NAMES_PER_EDIT: usize = 1_000;

/// What is called when something is known to be durable, or cannot become so.
pub(crate) type DurableCall = Box<dyn FnOnce(Result<()>) + Send>;

/// Work for the log thread.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// A spare was taken, or is wanted by someone who waits until there is one.
    Spare {
        reply: Option<Sender<Result<()>>>,
    },
    /// A log was sealed: make it durable.
    Sealed,
    /// Somebody is to be told when something is durable, and waits on the list.
    Tell,
    /// A file that no chain will ever use.
    Remove(PathBuf),
    /// A log below the floor: to be used again.
    Recycle(SpareLog),
    /// A keyspace to be made, dropped or renamed.
    Keyspace {
        request: KeyspaceRequest,
        reply: Sender<Result<()>>,
    },
    Stop,
}

/// Work for the flush thread.
#[derive(Debug)]
pub(crate) enum FlushJob {
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
    /// A disk that was full has room.
    Room,
    /// The block cache is over its bound.
    Evict,
    /// Segments that no run refers to any more.
    Free(Vec<Arc<Segment>>),
    /// Segments with new tables, to take the place of those over the same files.
    Replace {
        fresh: Vec<Arc<Segment>>,
        reply: Sender<Result<()>>,
    },
    /// Read the manifest back.
    CheckManifest {
        reply: Sender<Result<()>>,
    },
    /// A keyspace was dropped, or a snapshot that held one back released.
    Cleanup,
    Stop,
}

/// What the log thread carries out for a caller.
#[derive(Clone, Debug)]
pub(crate) enum KeyspaceRequest {
    /// All of them in one edit. Those that exist get the options, too, if there are any.
    Create {
        names: Vec<String>,
        options: Option<KeyspaceOptions>,
    },
    Drop {
        name: String,
    },
    /// In an edit of its own.
    Rename {
        from: String,
        to: String,
    },
}

impl KeyspaceRequest {
    fn names(&self) -> &[String] {
        match self {
            Self::Create { names, .. } => names,
            Self::Drop { name } | Self::Rename { from: name, .. } => std::slice::from_ref(name),
        }
    }

    /// How many of those that wait are carried out together, at least one.
    pub(crate) fn group<'a>(waiting: impl Iterator<Item = &'a Self>) -> usize {
        let mut names = 0;
        let fits = waiting.take_while(|request| {
            let before = names;
            // Takes all the room, so that it is the only one, or waits for the next.
            let alone = matches!(request, Self::Rename { .. });
            names += if alone { NAMES_PER_EDIT + 1 } else { request.names().len() };
            before == 0 || names <= NAMES_PER_EDIT
        });
        fits.count()
    }
}
