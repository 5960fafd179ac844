//! Keyspaces made, dropped and renamed, on the log thread, for callers that wait.
//!
//! Making one needs a manifest edit, dropping one a control record in the log first. What waits at
//! the same moment is carried out together: one sync of the log, where there are drops, and one
//! edit. Each of these callers still waits, so any order of their requests will do: drops go first.
//!
//! Making also sets other options of those that exist: later flushes and merges go by them. If an
//! earlier drop of the name is in the log and not yet in the manifest, the log is synced and the
//! edit says both. An edit costs what it changes: it is applied in place, and taken back if it is
//! refused or cannot be written.
//!
//! Renaming is one edit: the id stays, and with it all data, handles and snapshots. A crash leaves
//! the old name or the new one, as the edit was lost or not. The log is synced before it, so that
//! the new name does not survive what was written under the old one.
//!
//! Dropping, in this order: the control record takes its sequence *d* in the commit section, after
//! which writes are refused; the log is synced past *d*; then the manifest says so, and forgets the
//! keyspace at once where nothing holds its data. The drop holds once the log is synced, and its
//! caller is told so. Where the edit fails, on a full disk for instance, the clean-up makes it up;
//! after a crash in between, the flush that retires the record's memtable: its edit carries the
//! drop. Segments that hold nothing else go once the horizon is at or above *d*; merges take it out
//! of the others.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::engine::keyspaces::ask::as_wanted;
use crate::engine::keyspaces::forget::place_of_dropped;
use crate::engine::manifest::append_change;
use crate::engine::shared::keyspaces::KeyspaceState;
use crate::engine::shared::messages::{FlushJob, KeyspaceRequest};
use crate::engine::write::{put, sync};
use crate::engine::{Engine, manifest};
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::batch::Control;
use crate::format::edit::{Change, KeyspaceMeta};
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, Sequence};
use crate::options::KeyspaceOptions;
use crate::sync::Arc;

/// Names that are asked for, and the options that they get.
type Create<'a> = (&'a [String], Option<KeyspaceOptions>);

/// What an edit makes of the names that are asked for.
#[derive(Default)]
struct EditPlan {
    made: Vec<KeyspaceMeta>,
    set: Vec<(Arc<KeyspaceState>, KeyspaceOptions)>,
}

/// Carries requests out together. Each has its own answer; they share only what becomes of the
/// log's sync and of the edit.
pub(crate) fn carry_out(engine: &Engine, requests: &[KeyspaceRequest]) -> Vec<Result<()>> {
    let closed = engine.core.is_closed().then_some(Error::Closed);
    if let Some(refused) = closed.or_else(|| engine.core.stopped()) {
        return requests.iter().map(|_| Err(refused.clone())).collect();
    }
    if let [KeyspaceRequest::Rename { from, to }] = requests {
        return vec![rename(engine, from, to)];
    }
    let mut answers = Vec::new();
    let mut gone = BTreeMap::new();
    let mut creates = Vec::new();
    for request in requests {
        answers.push(match request {
            KeyspaceRequest::Create { .. } => Ok(()),
            KeyspaceRequest::Rename { .. } => unreachable!("a rename is a group of its own"),
            KeyspaceRequest::Drop { name } => write_drop(engine, name).map(|(id, at)| {
                gone.insert(id, at);
            }),
        });
    }
    let mut shared: Vec<_> = answers.iter().map(Result::is_ok).collect();
    for (request, shares) in requests.iter().zip(&mut shared) {
        if let KeyspaceRequest::Create { names, options } = request {
            // The request before may have made them.
            *shares = names.iter().any(|name| as_wanted(engine, name, *options).is_none());
            creates.extend(shares.then_some((names.as_slice(), *options)));
        }
    }
    if !shared.contains(&true) {
        return answers;
    }
    let synced = sync_drops(engine, &creates, &mut gone);
    let last = gone.values().copied().max();
    let edited = synced.clone().and_then(|()| edit_keyspaces(engine, &creates, gone));
    if synced.is_ok()
        && let (Some(last), Err(error)) = (last, &edited)
    {
        event!(warn, %error, "the manifest is told later of keyspaces that were dropped");
        engine.core.keyspaces.leave_unsaid(last);
        engine.core.send_flush(FlushJob::Cleanup);
    }
    for ((answer, request), _) in
        answers.iter_mut().zip(requests).zip(shared).filter(|(_, shares)| *shares)
    {
        answer.clone_from(match request {
            KeyspaceRequest::Create { .. } | KeyspaceRequest::Rename { .. } => &edited,
            KeyspaceRequest::Drop { .. } => &synced,
        });
    }
    answers
}

/// Gives a living keyspace a name that none has.
fn rename(engine: &Engine, from: &str, to: &str) -> Result<()> {
    let core = &engine.core;
    let what = match core.keyspaces.find(from) {
        None => format!("there is no keyspace {from:?}"),
        Some(state) if state.id == KEYSPACE_DEFAULT => {
            String::from("the default keyspace cannot be renamed")
        }
        Some(_) if core.keyspaces.find(to).is_some() => {
            return Err(Error::KeyspaceExists { name: to.to_owned() });
        }
        Some(state) => {
            // A drop that the manifest was not told yet holds the name there.
            let held = unsaid_drop(engine, to);
            // For that, and for what was written before: the new name stands for what was made.
            sync::sync_all(engine)?;
            let mut manifest = manifest::locked(core)?;
            let unsaid = |&(id, _): &(KeyspaceId, _)| {
                manifest.state().live(to).is_some_and(|meta| meta.id == id)
            };
            let freed = held.filter(unsaid);
            let mut changes: Vec<_> =
                freed.map(|(id, at)| Change::DropKeyspace { id, at }).into_iter().collect();
            changes.push(Change::RenameKeyspace { id: state.id, name: to.to_owned() });
            append_change(core, &mut manifest, changes)?;
            core.keyspaces.rename(&state, to);
            return Ok(());
        }
    };
    Err(Error::InvalidArgument { what })
}

/// Writes the record from which on a keyspace is dropped.
fn write_drop(engine: &Engine, name: &str) -> Result<(KeyspaceId, Sequence)> {
    let id = engine.core.keyspaces.find(name).map(|state| state.id);
    let what = match id {
        None => format!("there is no keyspace {name:?}"),
        Some(KEYSPACE_DEFAULT) => String::from("the default keyspace cannot be dropped"),
        Some(id) => {
            let (at, _) = put::write_control(engine, Control::DropKeyspace(id))?;
            return Ok((id, at));
        }
    };
    Err(Error::InvalidArgument { what })
}

/// Syncs the log past all drops that the next edit has to say: those that are `gone`, and others,
/// which it adds to them.
fn sync_drops(
    engine: &Engine,
    creates: &[Create<'_>],
    gone: &mut BTreeMap<KeyspaceId, Sequence>,
) -> Result<()> {
    // A drop whose edit did not come to pass, by a crash or a failure, still holds the name in
    // the manifest. It goes there now, with the log synced first, as for every drop.
    let missing = |name: &&String| engine.core.keyspaces.find(name).is_none();
    let names = creates.iter().flat_map(|(names, _)| *names);
    gone.extend(names.filter(missing).filter_map(|name| unsaid_drop(engine, name)));
    if gone.is_empty() { Ok(()) } else { sync::sync_all(engine) }
}

/// One edit for everything: what is `gone`, durably, and the names that are asked for.
fn edit_keyspaces(
    engine: &Engine,
    creates: &[Create<'_>],
    mut gone: BTreeMap<KeyspaceId, Sequence>,
) -> Result<()> {
    let core = &engine.core;
    let places: Vec<_> = gone.keys().map(|&id| (id, place_of_dropped(core, id))).collect();
    let mut manifest = manifest::locked(core)?;
    let state = manifest.state();
    // A flush may have said it meanwhile.
    gone.retain(|id, _| state.keyspaces.get(id).is_some_and(|it| it.dropped_at.is_none()));
    let mut changes: Vec<_> =
        gone.iter().map(|(&id, &at)| Change::DropKeyspace { id, at }).collect();
    let free = places.iter().filter(|(id, place)| gone.contains_key(id) && place.is_nowhere());
    changes.extend(free.map(|&(id, _)| Change::ForgetKeyspace { id }));
    let EditPlan { made, set } = plan_edit(engine, creates, state.next_keyspace);
    changes.extend(made.iter().cloned().map(Change::AddKeyspace));
    changes.extend(set.iter().map(|&(ref state, options)| {
        let id = state.id;
        Change::SetOptions { id, options }
    }));
    if !changes.is_empty() {
        append_change(core, &mut manifest, changes)?;
    }
    made.iter().for_each(|meta| core.keyspaces.add(KeyspaceState::new(meta)));
    set.iter().for_each(|(state, options)| state.set_options(*options));
    drop(manifest);
    places.iter().for_each(|(id, place)| core.keyspaces.note_in_memory(*id, place.until));
    if places.iter().any(|(_, place)| place.on_disk) {
        core.send_flush(FlushJob::Cleanup);
    }
    Ok(())
}

/// The keyspace that is dropped, but under this name in the manifest yet.
fn unsaid_drop(engine: &Engine, name: &str) -> Option<(KeyspaceId, Sequence)> {
    let manifest = manifest::locked(&engine.core).ok()?;
    let id = manifest.state().live(name)?.id;
    Some((id, engine.core.keyspaces.by_id(id)?.dropped_at()?))
}

/// Says the drops whose own edits have failed. Called by the clean-up.
pub(crate) fn say_drops(engine: &Engine) -> Result<()> {
    let core = &engine.core;
    // Not `durable`: a sync that another write led may cover them and name less.
    let Some(last) = core.keyspaces.take_unsaid() else { return Ok(()) };
    let put_back = || core.keyspaces.leave_unsaid(last);
    let mut manifest = manifest::locked(core).inspect_err(|_| put_back())?;
    let state = manifest.state();
    let mut unsaid = core.keyspaces.dropped();
    unsaid.retain(|id, at| {
        *at <= last && state.keyspaces.get(id).is_some_and(|meta| meta.dropped_at.is_none())
    });
    if unsaid.is_empty() {
        return Ok(());
    }
    let change = |(id, at)| Change::DropKeyspace { id, at };
    let said = append_change(core, &mut manifest, unsaid.into_iter().map(change).collect());
    said.inspect_err(|_| put_back())
}

/// Which keyspaces are to be made, with ids from `next` on, and which get other options. Of
/// several requests for one name the last one's options count.
fn plan_edit(engine: &Engine, creates: &[Create<'_>], mut next: KeyspaceId) -> EditPlan {
    let mut plan = EditPlan::default();
    let mut places = HashMap::new();
    let created_at = engine.visible();
    let names = creates
        .iter()
        .flat_map(|&(names, options)| names.iter().map(move |name| (name.as_str(), options)));
    for (name, options) in names {
        if let Some(found) = engine.core.keyspaces.find(name) {
            let other = options.filter(|options| *options != found.options());
            plan.set.extend(other.map(|options| (found, options)));
            continue;
        }
        match places.entry(name) {
            Entry::Occupied(place) => {
                let made: &mut KeyspaceMeta = &mut plan.made[*place.get()];
                made.options = options.unwrap_or(made.options);
            }
            Entry::Vacant(place) => {
                place.insert(plan.made.len());
                let name = name.to_owned();
                let options = options.unwrap_or_default();
                let dropped_at = None;
                plan.made.push(KeyspaceMeta { id: next, name, options, created_at, dropped_at });
                next = KeyspaceId(next.0.saturating_add(1));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests;
