//! What an open knows before it looks at logs and segments: the manifest's state, and what the
//! witness says of manifest and logs. Changes nothing on disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::engine::open::orphans::Evidence;
use crate::error::{Error, Result};
use crate::event::event;
use crate::ids::{FileNumber, Uuid};
use crate::io::Fs;
use crate::options::Options;
use crate::runs::manifest::{Manifest, ManifestInfo};
use crate::runs::state::ManifestState;
use crate::witness::Claims;

/// What manifest and witness say.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) state: ManifestState,
    pub(crate) claims: Claims,
    /// Whether the manifest's last edit has its mark.
    marked: bool,
    /// Segments that the manifest has named and names no more.
    given_up: BTreeSet<FileNumber>,
}

impl Known {
    /// What they say, or the state of a new database where there is none and one may be made.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<Self> {
        match Manifest::read(fs, dir)? {
            Some((_, info)) if info.read_only_compatible && !options.read_only => {
                Err(unwritable(info.path))
            }
            Some((state, info)) => {
                let manifest = info.number.0;
                let cut_off = !info.clean_end;
                event!(debug, manifest, cut_off, edits = state.edits, "read the manifest");
                let claims = Claims::read(fs, dir, state.uuid)?;
                check_manifest(&claims, &state, &info)?;
                let ManifestInfo { marked, given_up, .. } = info;
                Ok(Known { state, claims, marked, given_up })
            }
            None if options.read_only || !options.create => {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                Err(Error::io("find a database in", dir, missing))
            }
            None => {
                let state = ManifestState::new(new_uuid(dir)?);
                let (claims, given_up) = Default::default();
                Ok(Known { state, claims, marked: true, given_up })
            }
        }
    }

    /// Whether the last edit is known to be durable. If not, what it says to be dead is needed by a
    /// recovery that does not find it any more.
    pub(crate) fn manifest_is_durable(&self) -> bool {
        let noted = self.claims.manifest().map(|(_, edits)| edits);
        self.marked || noted.is_some_and(|noted| noted >= self.state.edits)
    }

    /// What shows that a segment which the manifest does not name is of no use.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence { known_whole: self.manifest_is_whole(), given_up: self.given_up.clone() }
    }

    /// Whether there is evidence that the manifest has lost no edit. Without it, a segment that the
    /// manifest does not name may be one that it did.
    ///
    /// Edits are noted one by one, so one more than were noted is what a crash has left. More of
    /// them, without a mark, mean that the power took the notes: then the last ones may be gone.
    fn manifest_is_whole(&self) -> bool {
        let noted = self.claims.manifest().map(|(_, edits)| edits);
        noted.is_some_and(|noted| self.marked || self.state.edits <= noted.saturating_add(1))
    }
}

/// The manifest must be as new as any that the witness has seen.
fn check_manifest(claims: &Claims, state: &ManifestState, info: &ManifestInfo) -> Result<()> {
    let Some((manifest, edits)) = claims.manifest() else { return Ok(()) };
    if info.number >= manifest && state.edits >= edits {
        return Ok(());
    }
    let witness = claims.path().display();
    Err(Error::Corruption {
        file: info.path.clone(),
        offset: info.end,
        what: "manifest",
        expected: format!("edit {edits} or a later one, in manifest {} or a later one", manifest.0),
        got: format!(
            "edit {} as the last one, though {witness} knew of more (without that file the \
             database opens at this edit, and keeps segments of later ones as *.seg.orphan)",
            state.edits
        ),
    })
}

fn unwritable(manifest: PathBuf) -> Error {
    Error::UnsupportedFormat {
        file: manifest,
        what: "features that forbid writing",
        expected: String::from("none, or an open with read_only(true)"),
        got: String::from("a feature that this version does not know"),
    }
}

fn new_uuid(dir: &Path) -> Result<Uuid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io("draw a random id for", dir, std::io::Error::other(error.to_string()))
    })?;
    Ok(Uuid(bytes))
}
