//! A store whose calls fail by plan: those of `object_store` that have no network.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, once};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use crate::fault::{Fault, Plan};

#[derive(Debug)]
pub struct Faulty<S> {
    store: Arc<S>,
    plan: Plan,
}

impl<S> Faulty<S> {
    pub fn new(store: Arc<S>, plan: Plan) -> Self {
        Self { store, plan }
    }
}

impl<S: fmt::Display> fmt::Display for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

fn planted<T>() -> Result<T> {
    Err(Error::Generic { store: "planted", source: "planted".into() })
}

/// What becomes of a call.
async fn by<T>(plan: &Plan, call: impl Future<Output = Result<T>>) -> Result<T> {
    match plan.next() {
        None => call.await,
        Some(Fault::Dead { done: true } | Fault::AnswerLost | Fault::AnswerLostOnce) => {
            let _ = call.await;
            planted()
        }
        Some(_) => planted(),
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Faulty<S> {
    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        by(&self.plan, self.store.put_opts(at, put, options)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = by(&self.plan, self.store.put_multipart_opts(at, options)).await?;
        Ok(Box::new(FaultyUpload { upload, plan: self.plan.clone() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        by(&self.plan, self.store.get_opts(at, options)).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.plan.next() {
            None => self.store.delete_stream(at),
            Some(Fault::Dead { done: true } | Fault::AnswerLost | Fault::AnswerLostOnce) => {
                self.store.delete_stream(at).map(|_| planted()).boxed()
            }
            Some(_) => once(async { planted() }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.plan.next() {
            None => self.store.list(prefix),
            Some(_) => once(async { planted() }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        by(&self.plan, self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        by(&self.plan, self.store.copy_opts(from, to, options)).await
    }
}

#[async_trait]
impl<S: MultipartStore> MultipartStore for Faulty<S> {
    async fn create_multipart(&self, at: &Path) -> Result<MultipartId> {
        by(&self.plan, self.store.create_multipart(at)).await
    }

    async fn put_part(
        &self,
        at: &Path,
        id: &MultipartId,
        number: usize,
        part: PutPayload,
    ) -> Result<PartId> {
        by(&self.plan, self.store.put_part(at, id, number, part)).await
    }

    async fn complete_multipart(
        &self,
        at: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        by(&self.plan, self.store.complete_multipart(at, id, parts)).await
    }

    async fn abort_multipart(&self, at: &Path, id: &MultipartId) -> Result<()> {
        by(&self.plan, self.store.abort_multipart(at, id)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    plan: Plan,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        let plan = self.plan.clone();
        Box::pin(async move { by(&plan, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        by(&self.plan, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        by(&self.plan, self.upload.abort()).await
    }
}
