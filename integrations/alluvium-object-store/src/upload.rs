//! An object of many parts, some of which are on their way at once.
//!
//! 1. Begin an upload; if the store tells its name, put that under `uploads/`, so that a later clean-up
//!    finds what a process that dies leaves behind.
//! 2. Read a part, and send it; the oldest on its way is waited for once there are as many as may be.
//! 3. Complete the upload, and look how long the object is. The answer may be lost: an object of that
//!    length, under a name that is of one content only, is what was put.
//! 4. Take the name away again.
//!
//! After an error the upload is aborted; if that fails, too, its name stays.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutPayload};

use crate::errors::{is_missing, to_io};
use crate::executor::Call;
use crate::place::Place;

/// What S3 and those like it take.
const PARTS_MAX: u64 = 10_000;

const FOLDER: &str = "uploads";

/// An upload under way.
enum Upload {
    /// One with a name.
    Named { store: Arc<dyn MultipartStore>, path: Path, id: String, parts: Vec<PartId> },
    /// One without; none once it has ended in a panic of the store.
    Nameless(Option<Box<dyn MultipartUpload>>),
}

/// Puts an object, part by part. `renew` is called before each.
pub(crate) fn put(
    place: &Place,
    path: &Path,
    source: &mut dyn Read,
    bytes: u64,
    renew: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let mut upload = Upload::begin(place, path)?;
    let sent = upload.send(place, source, bytes, renew);
    match sent.and_then(|()| upload.complete(place, path, bytes)) {
        Ok(()) => {
            // If it stays, a later clean-up finds that there is no such upload any more.
            let _ = upload.forget(place);
            Ok(())
        }
        Err(error) => {
            if upload.abort(place).is_ok() {
                let _ = upload.forget(place);
            }
            Err(error)
        }
    }
}

/// Aborts what others have left behind. What cannot be now is left for the next time.
pub(crate) fn clean_up(place: &Place) -> io::Result<()> {
    let Some(store) = &place.uploads else { return Ok(()) };
    for note in place.list(FOLDER)? {
        let Some((_, id)) = place.read(&note.location)? else { continue };
        let Ok(id) = String::from_utf8(id.to_vec()) else { continue };
        let Some(name) = note.location.filename() else { continue };
        let path = Path::from_iter(["segments", name]);
        let at = path.clone();
        let mut upload = Upload::Named { store: Arc::clone(store), path, id, parts: Vec::new() };
        // Of one that was completed some stores say that there is none, and others that it failed.
        if upload.abort(place).is_ok() || place.look(&at)?.is_some() {
            place.delete(&note.location)?;
        }
    }
    Ok(())
}

/// Where the name of an upload stands.
fn note(path: &Path) -> Path {
    Path::from_iter([FOLDER, path.filename().unwrap_or_default()])
}

impl Upload {
    fn begin(place: &Place, path: &Path) -> io::Result<Self> {
        let at = path.clone();
        let Some(store) = &place.uploads else {
            let store = Arc::clone(&place.store);
            let begun = place.executor.run(async move { store.put_multipart(&at).await })?;
            return begun.map(|upload| Self::Nameless(Some(upload))).map_err(to_io);
        };
        let creator = Arc::clone(store);
        let begun = place.executor.run(async move { creator.create_multipart(&at).await })?;
        let id = begun.map_err(to_io)?;
        let told = Bytes::from(id.clone());
        let store = Arc::clone(store);
        let mut upload = Self::Named { store, path: path.clone(), id, parts: Vec::new() };
        let noted = place.put(&note(path), told, PutMode::Overwrite);
        match noted.and_then(|noted| noted.map_err(to_io)) {
            Ok(_) => Ok(upload),
            Err(error) => {
                let _ = upload.abort(place);
                Err(error)
            }
        }
    }

    /// Step 2.
    fn send(
        &mut self,
        place: &Place,
        source: &mut dyn Read,
        bytes: u64,
        renew: impl Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        let most = (place.part_bytes as u64).max(bytes.div_ceil(PARTS_MAX));
        let mut sending = VecDeque::new();
        let mut number = 0;
        let mut left = bytes;
        while left > 0 {
            renew()?;
            let part = read_exactly(source, left.min(most))?;
            left -= part.len() as u64;
            sending.push_back(self.send_one(place, number, part)?);
            number += 1;
            if sending.len() >= place.parts_at_once
                && let Some(oldest) = sending.pop_front()
            {
                self.sent(oldest)?;
            }
        }
        sending.into_iter().try_for_each(|part| self.sent(part))
    }

    fn send_one(
        &mut self,
        place: &Place,
        number: usize,
        part: Bytes,
    ) -> io::Result<Call<Option<PartId>>> {
        let payload = PutPayload::from(part);
        match self {
            Self::Named { store, path, id, .. } => {
                let store = Arc::clone(store);
                let path = path.clone();
                let id = id.clone();
                place.executor.begin(async move {
                    store.put_part(&path, &id, number, payload).await.map(Some)
                })
            }
            Self::Nameless(upload) => {
                let part = upload.as_mut().ok_or_else(ended)?.put_part(payload);
                place.executor.begin(async move { part.await.map(|()| None) })
            }
        }
    }

    fn sent(&mut self, part: Call<Option<PartId>>) -> io::Result<()> {
        let sent = part.wait()?.map_err(to_io)?;
        if let Self::Named { parts, .. } = self {
            parts.extend(sent);
        }
        Ok(())
    }

    /// Step 3.
    fn complete(&mut self, place: &Place, path: &Path, bytes: u64) -> io::Result<()> {
        let completed = match self {
            Self::Named { store, path, id, parts } => {
                let store = Arc::clone(store);
                let path = path.clone();
                let id = id.clone();
                let parts = std::mem::take(parts);
                let done = async move { store.complete_multipart(&path, &id, parts).await };
                place.executor.run(done)?.map(drop)
            }
            Self::Nameless(upload) => {
                let mut ours = upload.take().ok_or_else(ended)?;
                let done = async move {
                    let done = ours.complete().await;
                    Ok((ours, done))
                };
                let (back, done) = place.executor.run(done)?.map_err(to_io)?;
                *upload = Some(back);
                done.map(drop)
            }
        };
        let there = place.look(path);
        match (completed, there) {
            (_, Ok(Some(there))) if there.size == bytes => Ok(()),
            (Err(error), _) => Err(to_io(error)),
            (Ok(()), there) => {
                let got = there?.map_or(0, |there| there.size);
                let what = format!("the store has made {got} bytes of the {bytes} that it got");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }

    /// That there is no such upload is no error.
    fn abort(&mut self, place: &Place) -> io::Result<()> {
        let aborted = match self {
            Self::Named { store, path, id, .. } => {
                let store = Arc::clone(store);
                let path = path.clone();
                let id = id.clone();
                place.executor.run(async move { store.abort_multipart(&path, &id).await })?
            }
            Self::Nameless(upload) => {
                let mut ours = upload.take().ok_or_else(ended)?;
                place.executor.run(async move { ours.abort().await })?
            }
        };
        match aborted {
            Err(error) if is_missing(&error) => Ok(()),
            aborted => aborted.map_err(to_io),
        }
    }

    fn forget(&self, place: &Place) -> io::Result<()> {
        match self {
            Self::Named { path, .. } => place.delete(&note(path)),
            Self::Nameless(_) => Ok(()),
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the upload has ended")
}

pub(crate) fn read_exactly(source: &mut dyn Read, bytes: u64) -> io::Result<Bytes> {
    let len = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut part = vec![0; len];
    source.read_exact(&mut part)?;
    Ok(Bytes::from(part))
}
