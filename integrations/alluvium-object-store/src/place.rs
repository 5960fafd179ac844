//! A store, and the few calls of it that all else here is made of.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult,
};

use crate::errors::{is_missing, to_io};
use crate::executor::{Call, Executor};

/// What those who use a store share.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same store, if it tells the names of its uploads.
    pub(crate) uploads: Option<Arc<dyn MultipartStore>>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) part_bytes: usize,
    pub(crate) parts_at_once: usize,
}

impl Place {
    /// Puts a whole object; what the store has said of a failure, as it is.
    pub(crate) fn put(
        &self,
        path: &Path,
        bytes: Bytes,
        mode: PutMode,
    ) -> io::Result<object_store::Result<PutResult>> {
        let store = Arc::clone(&self.store);
        let path = path.clone();
        let payload = PutPayload::from(bytes);
        self.executor.run(async move { store.put_opts(&path, payload, mode.into()).await })
    }

    /// An object and what the store knows of it, if there is one.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Option<(ObjectMeta, Bytes)>> {
        let store = Arc::clone(&self.store);
        let path = path.clone();
        let read = self.executor.run(async move {
            let found = store.get(&path).await?;
            let meta = found.meta.clone();
            Ok((meta, found.bytes().await?))
        });
        some_if_there(read?)
    }

    /// What the store knows of an object, if there is one.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Option<ObjectMeta>> {
        let store = Arc::clone(&self.store);
        let path = path.clone();
        some_if_there(self.executor.run(async move { store.head(&path).await })?)
    }

    /// Begins to read a part of an object, of the version with this tag if it has one.
    pub(crate) fn begin_part(
        &self,
        path: &Path,
        (from, to): (u64, u64),
        tag: Option<&str>,
    ) -> io::Result<Call<Bytes>> {
        let store = Arc::clone(&self.store);
        let path = path.clone();
        let options = GetOptions {
            range: Some(GetRange::Bounded(from..to)),
            if_match: tag.map(str::to_owned),
            ..GetOptions::default()
        };
        self.executor.begin(async move { store.get_opts(&path, options).await?.bytes().await })
    }

    /// All objects in a folder.
    pub(crate) fn list(&self, folder: &str) -> io::Result<Vec<ObjectMeta>> {
        let store = Arc::clone(&self.store);
        let folder = Path::from(folder);
        let listed =
            self.executor.run(async move { store.list(Some(&folder)).try_collect().await });
        match listed? {
            // A folder of a directory that nothing was put into.
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            listed => listed.map_err(to_io),
        }
    }

    /// Deletes an object, if there is one.
    pub(crate) fn delete(&self, path: &Path) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        let path = path.clone();
        some_if_there(self.executor.run(async move { store.delete(&path).await })?).map(drop)
    }
}

fn some_if_there<T>(answer: object_store::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Err(error) if is_missing(&error) => Ok(None),
        answer => answer.map(Some).map_err(to_io),
    }
}
