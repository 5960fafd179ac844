//! A web application's sessions under tokio, with an index by user: log in, renew, list in pages,
//! log out everywhere, remove what is over, and a close that loses nothing.
//!
//! What may wait for memory or the disk runs on tokio's threads for such work, by `blocking`. What
//! waits for the device does not: `Db::durable` is a future, so a thousand logins that are about to
//! be acknowledged take no thread, and share syncs.
//!
//! `cargo run --example session_store`. It works in a temporary directory, and checks what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::sync::Arc;

use alluvium::{Db, Error, KeyChange, Keyspace, Result, WriteBatch};
use tokio::task::{JoinSet, spawn_blocking};

const PAGE: usize = 4;

struct Sessions {
    db: Db,
    /// The user of each session, and when it ends: `ann 1700000000`.
    by_id: Keyspace,
    /// A key for each session, as [`key_of`] makes it, without a value.
    by_user: Keyspace,
}

/// Runs what may wait where it may.
async fn blocking<T: Send + 'static>(
    sessions: &Arc<Sessions>,
    work: impl FnOnce(&Sessions) -> Result<T> + Send + 'static,
) -> Result<T> {
    let sessions = Arc::clone(sessions);
    spawn_blocking(move || work(&sessions)).await.expect("the work does not panic")
}

impl Sessions {
    fn open(db: Db) -> Result<Arc<Self>> {
        let by_id = db.keyspace("sessions")?;
        let by_user = db.keyspace("sessions-by-user")?;
        Ok(Arc::new(Self { db, by_id, by_user }))
    }

    /// Begins a session, and is done when no power loss ends it. False if the id is taken.
    async fn log_in(self: &Arc<Self>, id: String, user: String, ends: u64) -> Result<bool> {
        let written = blocking(self, move |it| {
            // The record and its entry in the index: both or none, and only if the id is new.
            let mut batch = WriteBatch::new();
            batch.require_in(&it.by_id, &id, None);
            batch.put_in(&it.by_id, &id, format!("{user} {ends}"));
            batch.put_in(&it.by_user, key_of(&user, &id), "");
            it.db.write(&batch)
        });
        match written.await {
            Ok(sequence) => self.db.durable(sequence).await.map(|()| true),
            Err(Error::RequirementFailed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves the end of a session, unless it is over. Says who it is, and whose it was if it is.
    async fn renew(self: &Arc<Self>, id: String, now: u64, ends: u64) -> Result<Option<String>> {
        let renewed = blocking(self, move |it| {
            it.by_id.update_if(id, |session| {
                let live = session.and_then(parse).filter(|(_, until)| now < *until);
                Ok::<_, Error>(match live {
                    Some((user, _)) => KeyChange::Put(format!("{user} {ends}").into_bytes()),
                    None => KeyChange::Leave,
                })
            })
        });
        // Not durable: a power loss may shorten a session by a second.
        let renewed = renewed.await?;
        let user = |session: &[u8]| parse(session).map(|(user, _)| user.to_owned());
        Ok(renewed.old.as_deref().filter(|_| renewed.changed).and_then(user))
    }

    /// A page of the ids of a user's sessions, behind the last one of the page before.
    async fn page(self: &Arc<Self>, user: &str, after: Option<String>) -> Result<Vec<String>> {
        let prefix = key_of(user, "");
        let ids = move |it: &Self| {
            let mut keys = it.by_user.prefix(&prefix).keys();
            if let Some(after) = after {
                keys.seek(format!("{prefix}{after}\0")); // the first key behind it
            }
            let id = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            keys.take(PAGE).map(|key| Ok(id(&key?))).collect()
        };
        blocking(self, ids).await
    }

    /// Ends all sessions of a user, those too that begin meanwhile: a transaction that has read a
    /// range commits only if nobody has added to it. Returns how many there were.
    async fn log_out_everywhere(self: &Arc<Self>, user: String) -> Result<usize> {
        let ended = blocking(self, move |it| {
            it.db.transact(|tx| {
                let prefix = key_of(&user, "");
                let entries = tx.of(&it.by_user).prefix(&prefix);
                let entries: Vec<_> = entries.map(|entry| Ok(entry?.0)).collect::<Result<_>>()?;
                for entry in &entries {
                    tx.of(&it.by_user).delete(entry)?;
                    tx.of(&it.by_id).delete(&entry[prefix.len()..])?;
                }
                Ok::<_, Error>(entries.len())
            })
        });
        let ended = ended.await?;
        self.db.durable(ended.sequence).await?;
        Ok(ended.value)
    }

    /// Removes the sessions that are over, and returns how many. Until then they are listed, and
    /// their ids are taken. It reads every session there is: once an hour, for instance.
    async fn sweep(self: &Arc<Self>, now: u64) -> Result<usize> {
        let swept = move |it: &Self| {
            let mut count = 0;
            for entry in it.by_id.range(..) {
                let (id, session) = entry?;
                let over = parse(&session).filter(|(_, ends)| *ends <= now);
                let Some((user, _)) = over else { continue };
                // Only as it was read: somebody may have ended it since, and begun another.
                let mut batch = WriteBatch::new();
                batch.require_in(&it.by_id, &id, Some(&session));
                batch.delete_in(&it.by_id, &id);
                batch.delete_in(&it.by_user, key_of(user, &String::from_utf8_lossy(&id)));
                match it.db.write(&batch) {
                    Ok(_) => count += 1,
                    Err(Error::RequirementFailed { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(count)
        };
        blocking(self, swept).await
    }
}

/// The key in the index, `3:ann/id`, or, without an id, what all keys of a user begin with. The
/// length says where the name ends: without it the sessions of a user `ann/b` would be among ann's.
fn key_of(user: &str, id: &str) -> String {
    format!("{}:{user}/{id}", user.len())
}

/// User and end of a session. The last space parts them: a name may have others.
fn parse(session: &[u8]) -> Option<(&str, u64)> {
    let (user, ends) = std::str::from_utf8(session).ok()?.rsplit_once(' ')?;
    Some((user, ends.parse().ok()?))
}

async fn serve(sessions: &Arc<Sessions>) -> Result<()> {
    // Two hundred people log in at once.
    let mut requests = JoinSet::new();
    for n in 0..200 {
        let sessions = Arc::clone(sessions);
        let user = if n % 20 == 0 { "ann".to_owned() } else { format!("user-{n}") };
        requests.spawn(async move { sessions.log_in(format!("{n:08x}"), user, 1_000).await });
    }
    while let Some(done) = requests.join_next().await {
        assert!(done.expect("no request panics")?, "each id is new");
    }
    let syncs = sessions.db.stats().log_syncs;
    println!("200 logins are durable; syncs of the log: {syncs}");
    assert!(!sessions.log_in("00000007".to_owned(), "bob".to_owned(), 1_000).await?, "taken");

    assert_eq!(sessions.renew("00000000".to_owned(), 900, 2_000).await?.as_deref(), Some("ann"));
    assert_eq!(sessions.renew("00000001".to_owned(), 1_500, 2_000).await?, None, "over");
    assert_eq!(sessions.renew("no such".to_owned(), 900, 2_000).await?, None);

    let mut listed = Vec::new();
    loop {
        let page = sessions.page("ann", listed.last().cloned()).await?;
        let last = page.len() < PAGE;
        listed.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(listed.len(), 10);
    assert_eq!(sessions.log_out_everywhere("ann".to_owned()).await?, 10);
    assert!(sessions.page("ann", None).await?.is_empty());

    // A name may have any character.
    for (id, user) in [("x", "ann/b"), ("y", "ann smith")] {
        assert!(sessions.log_in(id.to_owned(), user.to_owned(), 1_000).await?);
        assert_eq!(sessions.log_out_everywhere("ann".to_owned()).await?, 0, "none of hers");
        assert_eq!(sessions.page(user, None).await?, [id]);
        assert_eq!(sessions.renew(id.to_owned(), 900, 2_000).await?.as_deref(), Some(user));
    }
    assert_eq!(sessions.log_out_everywhere("ann/b".to_owned()).await?, 1);
    Ok(())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("data");

    let opened = path.clone();
    let sessions = spawn_blocking(move || Sessions::open(Db::open(opened)?)).await??;
    serve(&sessions).await?;
    // Once no request is left: what is in memory is flushed and synced, then the threads end.
    blocking(&sessions, |it| it.db.close()).await?;
    drop(sessions);

    let again = spawn_blocking(move || Sessions::open(Db::open(path)?)).await??;
    assert_eq!(again.by_id.len()?, 191);
    assert_eq!(again.by_user.len()?, 191);
    assert_eq!(again.sweep(1_500).await?, 190, "all but the one that was renewed");
    assert_eq!(again.page("ann smith", None).await?, ["y"]);
    assert_eq!(again.by_id.len()?, 1);
    assert_eq!(again.by_user.len()?, 1);
    blocking(&again, |it| it.db.close()).await?;
    Ok(())
}
