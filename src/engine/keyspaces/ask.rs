//! What callers ask for: a keyspace by its name, found or made, and dropped. Making and dropping is
//! the log thread's.

use crate::engine::Engine;
use crate::engine::shared::keyspaces::KeyspaceState;
use crate::engine::shared::messages::{KeyspaceRequest, LogJob};
use crate::error::{Error, Result};
use crate::options::KeyspaceOptions;
use crate::sync::Arc;

/// Longest keyspace name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Finds a keyspace, or makes it. It has these options then, or, without, those it had, or the
/// defaults.
pub(crate) fn open_keyspace(
    engine: &Engine,
    name: &str,
    options: Option<KeyspaceOptions>,
) -> Result<Arc<KeyspaceState>> {
    check_name(name)?;
    options.map_or(Ok(()), |options| options.validate())?;
    if let Some(state) = as_wanted(engine, name, options) {
        return Ok(state);
    }
    // Another thread may have renamed or dropped it since it was made: then it is made again. Each
    // turn is a rename or a drop that has come to pass, so together the callers go on.
    loop {
        make_keyspaces(engine, vec![name.to_owned()], options)?;
        if let Some(state) = engine.core.keyspaces.find(name) {
            return Ok(state);
        }
    }
}

/// [`open_keyspace`] for many, in one edit.
pub(crate) fn open_keyspaces(
    engine: &Engine,
    names: &[String],
    options: KeyspaceOptions,
) -> Result<Vec<Arc<KeyspaceState>>> {
    names.iter().try_for_each(|name| check_name(name))?;
    options.validate()?;
    let options = Some(options);
    loop {
        let mut missing: Vec<_> = names.to_vec();
        missing.retain(|name| as_wanted(engine, name, options).is_none());
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            make_keyspaces(engine, missing, options)?;
        }
        // Again, as for one, if one of them is not there any more.
        let found = names.iter().map(|name| engine.core.keyspaces.find(name));
        if let Some(found) = found.collect() {
            return Ok(found);
        }
    }
}

/// The keyspace, if there is nothing to be done about it.
pub(crate) fn as_wanted(
    engine: &Engine,
    name: &str,
    options: Option<KeyspaceOptions>,
) -> Option<Arc<KeyspaceState>> {
    let found = engine.core.keyspaces.find(name)?;
    options.is_none_or(|options| options == found.options()).then_some(found)
}

fn make_keyspaces(
    engine: &Engine,
    names: Vec<String>,
    options: Option<KeyspaceOptions>,
) -> Result<()> {
    if engine.core.options.read_only {
        return Err(Error::ReadOnly { path: engine.core.dir.clone() });
    }
    request_keyspace(engine, KeyspaceRequest::Create { names, options })
}

/// Drops a keyspace with all its data.
pub(crate) fn drop_keyspace(engine: &Engine, name: &str) -> Result<()> {
    check_name(name)?;
    if engine.core.options.read_only {
        return Err(Error::ReadOnly { path: engine.core.dir.clone() });
    }
    request_keyspace(engine, KeyspaceRequest::Drop { name: name.to_owned() })
}

/// The living keyspace of this name.
pub(crate) fn find_keyspace(engine: &Engine, name: &str) -> Result<Option<Arc<KeyspaceState>>> {
    check_name(name)?;
    Ok(engine.core.keyspaces.find(name))
}

/// Gives a keyspace another name.
pub(crate) fn rename_keyspace(engine: &Engine, from: &str, to: &str) -> Result<()> {
    check_name(from)?;
    check_name(to)?;
    if engine.core.options.read_only {
        return Err(Error::ReadOnly { path: engine.core.dir.clone() });
    }
    let request = KeyspaceRequest::Rename { from: from.to_owned(), to: to.to_owned() };
    request_keyspace(engine, request)
}

/// Sends a keyspace request to the log thread and waits for it.
pub(crate) fn request_keyspace(engine: &Engine, request: KeyspaceRequest) -> Result<()> {
    engine.core.refuse_on_own_thread()?;
    engine.core.ask_log(|reply| LogJob::Keyspace { request, reply })
}

/// Names are for people: 1 to 255 bytes, no control characters.
fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        what: format!(
            "a keyspace's name has 1 to {NAME_BYTES_MAX} bytes and no control characters, and is \
             {name:?}"
        ),
    })
}
