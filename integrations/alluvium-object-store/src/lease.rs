//! The lock on a place: an object that says whose it is, put only over what was read.
//!
//! 1. Put `lock` with our name and our lease on it, if there is none, or put it over one that is
//!    free. A store that cannot put so has no lock: then only those who share this handle keep out
//!    of each other's way. One that puts it again, as if there were none, has none either.
//! 2. One that is there and was not renewed for the time of the lease that it names is of somebody
//!    who has died. It is put over, if it is still the one that was read.
//! 3. Renew it, before the next change of the place, once a quarter of the lease is over, and
//!    always around the changes that others rely on; also if it is still ours only. If not,
//!    somebody has found us dead: nothing is changed any more.
//! 4. Put a free one over it. Not a deletion, which has no condition: done late, or again by the
//!    store's client, it would take away the lock of the next.
//!
//! A store without conditional updates (of files) has no steps 2 and 4: there the lock of one that
//! has died stays until it is deleted by hand, and ours is deleted.
//!
//! The answer to a call may be lost, or the call be done again by the store's client, which then
//! hears that its condition is not met, by its own doing. So after an error we look whose it is.
//! What is found so is ours, and of a time that we do not know, so it is renewed before the next
//! change.
//!
//! The content is `alluvium PID RANDOM lease MILLISECONDS`, or `free`, and a line feed. One that
//! cannot be read counts for the reader's lease or the default one, whichever is longer.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, PutMode, PutResult, UpdateVersion};

use crate::errors::{is_refused, is_unsupported, to_io};
use crate::place::Place;

/// How long a lock counts unless its holder says otherwise.
pub(crate) const DEFAULT: Duration = Duration::from_secs(15 * 60);

const NAME: &str = "lock";

/// What a lock says that nobody has.
const FREE: &[u8] = b"free\n";

/// Who has the lock of a place, as far as this handle knows.
#[derive(Debug)]
pub(crate) struct Lease {
    /// What our lock begins with.
    ours: String,
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

    /// Ours, of whatever time: it counts as not renewed.
    fn found(meta: ObjectMeta) -> Self {
        Self { renewed: SystemTime::UNIX_EPOCH, version: version(meta) }
    }
}

/// When to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renew {
    /// Once a quarter of the lease is over.
    InTime,
    Now,
}

impl Lease {
    pub(crate) fn new() -> Self {
        let ours = format!("alluvium {} {:016x}", std::process::id(), random());
        Self { ours, held: Mutex::new(Held::No) }
    }

    /// Steps 1 and 2. `WouldBlock` if another has it.
    pub(crate) fn take(&self, place: &Place, lease: Duration) -> io::Result<()> {
        let mut held = self.held();
        if !matches!(*held, Held::No) {
            return Err(taken("another call of this program makes or deletes backups here"));
        }
        let Some(lock) = self.taken(place, lease)? else {
            *held = Held::Here;
            return Ok(());
        };
        // A store that takes notice of conditions refuses this. If its answer is lost: once more.
        let mut again = self.put(place, lease, PutMode::Create)?;
        if again.as_ref().is_err_and(|error| !is_refused(error)) {
            again = self.put(place, lease, PutMode::Create)?;
        }
        match again {
            Err(error) if is_refused(&error) => *held = Held::There(lock),
            Err(error) => {
                self.let_go(place, lock.version);
                return Err(to_io(error));
            }
            Ok(_) => {
                place.delete(&Path::from(NAME))?;
                *held = Held::Here;
            }
        }
        Ok(())
    }

    /// None if the store has no locks.
    fn taken(&self, place: &Place, lease: Duration) -> io::Result<Option<Lock>> {
        match self.put(place, lease, PutMode::Create)? {
            Ok(made) => return Ok(Some(Lock::put(made))),
            Err(error) if is_unsupported(&error) => return Ok(None),
            Err(error) if is_refused(&error) => {}
            Err(error) => drop(self.if_ours(place).map_err(|_| to_io(error))?),
        }
        let Some((meta, whose)) = place.read(&Path::from(NAME))? else {
            return Err(taken("another program has just let go of the backups here"));
        };
        let ours = self.is_ours(&whose);
        if !ours && whose != FREE {
            let age = SystemTime::now().duration_since(meta.last_modified.into());
            let counts = lease_of(&whose).unwrap_or(lease.max(DEFAULT));
            if age.unwrap_or_default() < counts {
                return Err(taken("another program makes or deletes backups here"));
            }
        }
        let lock = match self.put_over(place, lease, &version(meta))? {
            Some(lock) => lock,
            None if ours => self.put_again(place, lease)?,
            None => {
                let why = "a lock that its holder does not renew any more is in the way, and this \
                           store cannot put another over it: delete the object `lock` by hand, \
                           once nobody makes or deletes backups here";
                return Err(io::Error::new(ErrorKind::Unsupported, why));
            }
        };
        Ok(Some(lock))
    }

    /// Step 3. An error if it is not known to be renewed, `WouldBlock` if another has it now.
    pub(crate) fn renew(&self, place: &Place, lease: Duration, when: Renew) -> io::Result<()> {
        let mut held = self.held();
        let Held::There(lock) = &mut *held else { return Ok(()) };
        // A clock that was put back says nothing, so it is renewed then.
        let age = SystemTime::now().duration_since(lock.renewed).unwrap_or(lease);
        if when == Renew::InTime && age < lease / 4 {
            return Ok(());
        }
        *lock = match self.put_over(place, lease, &lock.version)? {
            Some(lock) => lock,
            None => self.put_again(place, lease)?,
        };
        Ok(())
    }

    /// Step 4. What cannot be put is ours still at the next try, or goes with its lease.
    pub(crate) fn give_back(&self, place: &Place) {
        let held = std::mem::replace(&mut *self.held(), Held::No);
        if let Held::There(lock) = held {
            self.let_go(place, lock.version);
        }
    }

    fn let_go(&self, place: &Place, version: UpdateVersion) {
        let path = Path::from(NAME);
        let free = |version| place.put(&path, Bytes::from_static(FREE), PutMode::Update(version));
        let Ok(Err(error)) = free(version) else { return };
        let Ok(ours) = self.if_ours(place) else { return };
        if is_unsupported(&error) {
            let _ = place.delete(&path);
        } else if is_refused(&error) {
            // Of a renewal whose answer was lost.
            let _ = free(ours.version);
        }
    }

    /// Puts our lock over the one of this version; none if the store cannot.
    fn put_over(
        &self,
        place: &Place,
        lease: Duration,
        before: &UpdateVersion,
    ) -> io::Result<Option<Lock>> {
        match self.put(place, lease, PutMode::Update(before.clone()))? {
            Ok(made) => Ok(Some(Lock::put(made))),
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => match self.if_ours(place) {
                // What is there still was not put now.
                Ok(lock) if is_same(&lock.version, before) => Err(to_io(error)),
                Ok(lock) => Ok(Some(lock)),
                Err(another) if is_refused(&error) => Err(another),
                Err(_) => Err(to_io(error)),
            },
        }
    }

    /// Puts our lock over itself where no condition can be set, and nobody takes over.
    fn put_again(&self, place: &Place, lease: Duration) -> io::Result<Lock> {
        self.if_ours(place)?;
        self.put(place, lease, PutMode::Overwrite)?.map(Lock::put).map_err(to_io)
    }

    fn if_ours(&self, place: &Place) -> io::Result<Lock> {
        match place.read(&Path::from(NAME))? {
            Some((meta, whose)) if self.is_ours(&whose) => Ok(Lock::found(meta)),
            _ => Err(taken("another program has taken over the backups here")),
        }
    }

    fn is_ours(&self, whose: &[u8]) -> bool {
        whose.strip_prefix(self.ours.as_bytes()).is_some_and(|rest| rest.starts_with(b" lease "))
    }

    fn put(
        &self,
        place: &Place,
        lease: Duration,
        mode: PutMode,
    ) -> io::Result<object_store::Result<PutResult>> {
        let ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let text = format!("{} lease {ms}\n", self.ours);
        place.put(&Path::from(NAME), Bytes::from(text), mode)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(meta: ObjectMeta) -> UpdateVersion {
    UpdateVersion { e_tag: meta.e_tag, version: meta.version }
}

fn is_same(one: &UpdateVersion, other: &UpdateVersion) -> bool {
    one.e_tag == other.e_tag && one.version == other.version
}

/// The lease that a lock names.
fn lease_of(whose: &[u8]) -> Option<Duration> {
    let (_, lease) = std::str::from_utf8(whose).ok()?.trim_end().rsplit_once(" lease ")?;
    lease.parse().ok().map(Duration::from_millis)
}

fn taken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::WouldBlock, why)
}

/// Differs from handle to handle, and from process to process.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
