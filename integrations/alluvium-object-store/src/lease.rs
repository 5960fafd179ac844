//! The lock on a place: an object that is put only if it is not there, and says whose it is.
//!
//! 1. Put `lock` with our name on it, if there is none. A store that cannot put so has no lock: then
//!    only those who share this handle keep out of each other's way.
//! 2. One that is there and was not renewed for the time of a lease is of somebody who has died. It
//!    is put over, if it is still the one that was read.
//! 3. Renew it, before the next change of the place, once a quarter of the lease is over; also if it
//!    is still ours only. If not, somebody has found us dead: nothing is changed any more.
//! 4. Delete it.
//!
//! The answer to a call may be lost, or the call be done again by the store's client, which then
//! hears that its condition is not met, by its own doing. So after an error we look whose it is.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, PutMode, PutResult, UpdateVersion};

use crate::errors::{is_refused, is_unsupported, to_io};
use crate::place::Place;

const NAME: &str = "lock";

/// Who has the lock of a place, as far as this handle knows.
#[derive(Debug)]
pub(crate) struct Lease {
    /// What our lock says.
    ours: Bytes,
    held: Mutex<Held>,
}

#[derive(Debug)]
enum Held {
    No,
    /// By this handle, in a store that has no locks.
    Here,
    There(Lock),
}

#[derive(Debug)]
struct Lock {
    renewed: SystemTime,
    version: UpdateVersion,
}

impl Lock {
    fn put(made: PutResult) -> Self {
        Self { renewed: SystemTime::now(), version: made.into() }
    }

    fn found(meta: ObjectMeta) -> Self {
        let version = UpdateVersion { e_tag: meta.e_tag, version: meta.version };
        Self { renewed: SystemTime::now(), version }
    }
}

impl Lease {
    pub(crate) fn new() -> Self {
        let ours = format!("alluvium {} {:016x}\n", std::process::id(), random());
        Self { ours: Bytes::from(ours), held: Mutex::new(Held::No) }
    }

    /// Steps 1 and 2. `WouldBlock` if another has it.
    pub(crate) fn take(&self, place: &Place, lease: Duration) -> io::Result<()> {
        let mut held = self.held();
        if !matches!(*held, Held::No) {
            return Err(taken("another call of this program makes or deletes backups here"));
        }
        *held = self.taken(place, lease)?;
        Ok(())
    }

    fn taken(&self, place: &Place, lease: Duration) -> io::Result<Held> {
        match self.put(place, PutMode::Create)? {
            Ok(made) => return Ok(Held::There(Lock::put(made))),
            Err(error) if is_unsupported(&error) => return Ok(Held::Here),
            Err(error) if is_refused(&error) => {}
            Err(error) => return self.if_ours(place).map_err(|_| to_io(error)),
        }
        let Some((meta, whose)) = place.read(&Path::from(NAME))? else {
            return Err(taken("another program has just let go of the backups here"));
        };
        if whose == self.ours {
            return Ok(Held::There(Lock::found(meta)));
        }
        let age = SystemTime::now().duration_since(meta.last_modified.into());
        if age.unwrap_or_default() < lease {
            return Err(taken("another program makes or deletes backups here"));
        }
        let made = match self.put(place, update(Lock::found(meta).version))? {
            Err(error) if is_unsupported(&error) => {
                place.delete(&Path::from(NAME))?;
                self.put(place, PutMode::Create)?
            }
            made => made,
        };
        match made {
            Ok(made) => Ok(Held::There(Lock::put(made))),
            Err(error) if is_refused(&error) => self.if_ours(place),
            Err(error) => self.if_ours(place).map_err(|_| to_io(error)),
        }
    }

    /// Step 3.
    pub(crate) fn renew(&self, place: &Place, lease: Duration) -> io::Result<()> {
        let mut held = self.held();
        let Held::There(lock) = &mut *held else { return Ok(()) };
        // A clock that was put back says nothing, so it is renewed then.
        let age = SystemTime::now().duration_since(lock.renewed).unwrap_or(lease);
        if age < lease / 4 {
            return Ok(());
        }
        let renewed = match self.put(place, update(lock.version.clone()))? {
            Ok(made) => Held::There(Lock::put(made)),
            Err(error) if is_unsupported(&error) => {
                self.if_ours(place)?;
                let made = self.put(place, PutMode::Overwrite)?.map_err(to_io)?;
                Held::There(Lock::put(made))
            }
            Err(error) if is_refused(&error) => self.if_ours(place)?,
            Err(error) => self.if_ours(place).map_err(|_| to_io(error))?,
        };
        *held = renewed;
        Ok(())
    }

    /// Step 4. What cannot be deleted is ours still at the next try, or goes with its lease.
    pub(crate) fn give_back(&self, place: &Place) {
        let held = std::mem::replace(&mut *self.held(), Held::No);
        if matches!(held, Held::There(_)) && self.if_ours(place).is_ok() {
            let _ = place.delete(&Path::from(NAME));
        }
    }

    fn if_ours(&self, place: &Place) -> io::Result<Held> {
        match place.read(&Path::from(NAME))? {
            Some((meta, whose)) if whose == self.ours => Ok(Held::There(Lock::found(meta))),
            _ => Err(taken("another program has taken over the backups here")),
        }
    }

    fn put(&self, place: &Place, mode: PutMode) -> io::Result<object_store::Result<PutResult>> {
        place.put(&Path::from(NAME), self.ours.clone(), mode)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Over what was read, and nothing else. A store that gives no tags cannot tell.
fn update(version: UpdateVersion) -> PutMode {
    PutMode::Update(version)
}

fn taken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::WouldBlock, why)
}

/// Differs from handle to handle, and from process to process.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
