//! A bucket of S3 in memory, behind the real client of `object_store`: what that sends by HTTP is
//! answered here, as the API's reference says, without a network.
//!
//! No rename; an object is there once its upload is complete, and not before; parts but the last have
//! a least size; lists come in pages. Calls fail by plan, before they are done or after.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::fault::{Fault, Plan};

/// The least size of a part that is not the last: that of S3 is 5 MiB.
pub const PART_BYTES_MIN: usize = 8 << 10;

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    tag: String,
    modified: SystemTime,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<usize, Bytes>,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    given_out: u64,
    /// Completes uploads without their last part.
    loses_last_parts: bool,
    /// Takes no notice of `If-Match` and `If-None-Match`.
    ignores_conditions: bool,
    /// Another takes over the lock right after this object is put.
    lock_lost_with: Option<&'static str>,
}

/// What all clients of it see.
#[derive(Clone, Debug)]
pub struct Bucket {
    contents: Arc<Mutex<Contents>>,
    page: usize,
    on_their_way: Arc<AtomicU64>,
    most_on_their_way: Arc<AtomicU64>,
}

impl Bucket {
    pub fn new() -> Self {
        Self {
            contents: Arc::default(),
            page: 5,
            on_their_way: Arc::default(),
            most_on_their_way: Arc::default(),
        }
    }

    pub fn client(&self, plan: Plan) -> Arc<AmazonS3> {
        self.client_with(plan, "etag")
    }

    /// `conditional` is how the client puts what must not be there yet.
    pub fn client_with(&self, plan: Plan, conditional: &str) -> Arc<AmazonS3> {
        let none = std::time::Duration::from_millis(1);
        let backoff = BackoffConfig { init_backoff: none, max_backoff: none, base: 2.0 };
        let built = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_endpoint("http://s3.test")
            .with_region("here")
            .with_allow_http(true)
            .with_skip_signature(true)
            .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
            .with_config(AmazonS3ConfigKey::ConditionalPut, conditional)
            .with_retry(RetryConfig { backoff, max_retries: 5, ..RetryConfig::default() })
            .with_http_connector(Client { bucket: self.clone(), plan })
            .build();
        Arc::new(built.unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        self.contents.lock().unwrap().objects.keys().cloned().collect()
    }

    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.contents.lock().unwrap().objects.get(key).map(|object| object.bytes.clone())
    }

    pub fn set(&self, key: &str, bytes: Option<Vec<u8>>) {
        let mut contents = self.contents.lock().unwrap();
        match bytes {
            Some(bytes) => drop(contents.put(key, bytes.into())),
            None => drop(contents.objects.remove(key)),
        }
    }

    /// Parts of uploads that nobody has completed or aborted.
    pub fn parts_left(&self) -> usize {
        self.contents.lock().unwrap().uploads.values().map(|upload| upload.parts.len()).sum()
    }

    pub fn lose_last_parts(&self) {
        self.contents.lock().unwrap().loses_last_parts = true;
    }

    pub fn ignore_conditions(&self) {
        self.contents.lock().unwrap().ignores_conditions = true;
    }

    pub fn lose_lock_with(&self, key: &'static str) {
        self.contents.lock().unwrap().lock_lost_with = Some(key);
    }

    /// As if it had been put that long ago.
    pub fn age(&self, key: &str, age: Duration) {
        let mut contents = self.contents.lock().unwrap();
        contents.objects.get_mut(key).unwrap().modified = SystemTime::now() - age;
    }

    pub fn most_parts_on_their_way(&self) -> u64 {
        self.most_on_their_way.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Debug)]
struct Client {
    bucket: Bucket,
    plan: Plan,
}

impl HttpConnector for Client {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

fn failed(kind: HttpErrorKind) -> HttpError {
    HttpError::new(kind, std::io::Error::other("planted"))
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let fault = self.plan.next();
        match fault {
            Some(Fault::Dead { done: false }) => return Err(failed(HttpErrorKind::Unknown)),
            Some(Fault::Throttled) => {
                return Ok(answer(StatusCode::SERVICE_UNAVAILABLE, "<Error>SlowDown</Error>"));
            }
            Some(Fault::Refused) => {
                return Ok(answer(StatusCode::FORBIDDEN, "<Error>AccessDenied</Error>"));
            }
            Some(Fault::Dead { done: true } | Fault::AnswerLost | Fault::AnswerLostOnce) | None => {
            }
        }
        let part = request.uri().query().is_some_and(|query| query.contains("partNumber"));
        if part {
            let now = self.bucket.on_their_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.bucket.most_on_their_way.fetch_max(now, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.bucket.on_their_way.fetch_sub(1, Ordering::SeqCst);
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let said = self.bucket.answer(&head, body);
        match fault {
            Some(Fault::Dead { .. }) => Err(failed(HttpErrorKind::Unknown)),
            Some(Fault::AnswerLost | Fault::AnswerLostOnce) => {
                Err(failed(HttpErrorKind::Interrupted))
            }
            _ => Ok(said),
        }
    }
}

fn answer(status: StatusCode, text: &str) -> HttpResponse {
    let mut response = Response::new(text.to_owned().into());
    *response.status_mut() = status;
    response
}

fn tagged(status: StatusCode, tag: &str, text: &str) -> HttpResponse {
    let mut response = answer(status, text);
    response.headers_mut().insert("etag", tag.parse().unwrap());
    response
}

impl Contents {
    fn put(&mut self, key: &str, bytes: Bytes) -> String {
        self.given_out += 1;
        let tag = format!("\"{}\"", self.given_out);
        let object = Object { bytes, tag: tag.clone(), modified: SystemTime::now() };
        self.objects.insert(key.to_owned(), object);
        tag
    }
}

/// The parts of a query, decoded.
fn query(head: &http::request::Parts) -> BTreeMap<String, String> {
    let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    pairs.map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let code = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&code).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Bucket {
    fn answer(&self, head: &http::request::Parts, body: Bytes) -> HttpResponse {
        let path = head.uri.path().strip_prefix("/bucket").unwrap();
        let key = decoded(path.trim_start_matches('/'));
        let query = query(head);
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        let mut contents = self.contents.lock().unwrap();
        match (&head.method, query.get("uploadId")) {
            (&Method::GET, _) if key.is_empty() => self.list(&contents, &query),
            (&Method::GET | &Method::HEAD, _) => contents.get(&key, head),
            (&Method::PUT, Some(id)) => {
                let number: usize = query["partNumber"].parse().unwrap();
                match contents.uploads.get_mut(id).filter(|upload| upload.key == key) {
                    None => answer(StatusCode::NOT_FOUND, "<Error>NoSuchUpload</Error>"),
                    Some(upload) => {
                        upload.parts.insert(number, body);
                        tagged(StatusCode::OK, &format!("\"part {number}\""), "")
                    }
                }
            }
            (&Method::PUT, None) => {
                let there = contents.objects.get(&key).map(|object| object.tag.as_str());
                let none_wanted = header("if-none-match") == Some("*");
                let wanted = header("if-match");
                let unmet =
                    (none_wanted && there.is_some()) || (wanted.is_some() && wanted != there);
                if unmet && !contents.ignores_conditions {
                    return answer(StatusCode::PRECONDITION_FAILED, "<Error/>");
                }
                let tag = contents.put(&key, body);
                if contents.lock_lost_with.is_some_and(|with| with == key) {
                    contents.put("lock", Bytes::from_static(b"somebody else's"));
                }
                tagged(StatusCode::OK, &tag, "")
            }
            (&Method::POST, None) => {
                contents.given_out += 1;
                let id = format!("upload-{}", contents.given_out);
                let text = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                     </InitiateMultipartUploadResult>"
                );
                contents.uploads.insert(id, Upload { key, parts: BTreeMap::new() });
                answer(StatusCode::OK, &text)
            }
            (&Method::POST, Some(id)) => contents.complete(id, &body),
            (&Method::DELETE, Some(id)) => match contents.uploads.remove(id) {
                None => answer(StatusCode::NOT_FOUND, "<Error>NoSuchUpload</Error>"),
                Some(_) => answer(StatusCode::NO_CONTENT, ""),
            },
            (&Method::DELETE, None) => {
                contents.objects.remove(&key);
                answer(StatusCode::NO_CONTENT, "")
            }
            (method, _) => panic!("{method} {}", head.uri),
        }
    }

    fn list(&self, contents: &Contents, query: &BTreeMap<String, String>) -> HttpResponse {
        let prefix = query.get("prefix").map_or("", String::as_str);
        let after = query.get("continuation-token").map_or("", String::as_str);
        let mut found = contents
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let mut text = String::from("<ListBucketResult>");
        let mut last = None;
        for (key, object) in found.by_ref().take(self.page) {
            let modified = DateTime::<Utc>::from(object.modified).to_rfc3339();
            let size = object.bytes.len();
            let tag = object.tag.replace('"', "&quot;");
            text.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{tag}</ETag>\
                 <LastModified>{modified}</LastModified></Contents>"
            ));
            last = Some(key);
        }
        if let (Some(last), Some(_)) = (last, found.next()) {
            text.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        text.push_str("</ListBucketResult>");
        answer(StatusCode::OK, &text)
    }
}

impl Contents {
    fn get(&self, key: &str, head: &http::request::Parts) -> HttpResponse {
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        let Some(Object { bytes, tag, modified }) = self.objects.get(key) else {
            return answer(StatusCode::NOT_FOUND, "<Error>NoSuchKey</Error>");
        };
        if header("if-match").is_some_and(|wanted| wanted != tag) {
            return answer(StatusCode::PRECONDITION_FAILED, "<Error/>");
        }
        let all = bytes.len();
        let range = header("range").map(|range| {
            let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(all - 1))
        });
        let (status, part) = match range {
            Some((from, to)) => (StatusCode::PARTIAL_CONTENT, bytes.slice(from..=to)),
            None => (StatusCode::OK, bytes.clone()),
        };
        let mut response = Response::builder()
            .status(status)
            .header("content-length", part.len())
            .header("etag", tag)
            .header("last-modified", DateTime::<Utc>::from(*modified).to_rfc2822());
        if let Some((from, to)) = range {
            response = response.header("content-range", format!("bytes {from}-{to}/{all}"));
        }
        let body = if head.method == Method::HEAD { Bytes::new() } else { part };
        response.body(body.into()).unwrap()
    }

    fn complete(&mut self, id: &str, body: &Bytes) -> HttpResponse {
        let Some(mut upload) = self.uploads.remove(id) else {
            return answer(StatusCode::NOT_FOUND, "<Error>NoSuchUpload</Error>");
        };
        let named = std::str::from_utf8(body).unwrap().matches("<PartNumber>").count();
        let small = |(number, part): (&usize, &Bytes)| {
            *number < upload.parts.len() && part.len() < PART_BYTES_MIN
        };
        if named != upload.parts.len() || upload.parts.iter().any(small) {
            return answer(StatusCode::BAD_REQUEST, "<Error>EntityTooSmall</Error>");
        }
        if self.loses_last_parts {
            upload.parts.pop_last();
        }
        let whole: Vec<u8> = upload.parts.values().flatten().copied().collect();
        let tag = self.put(&upload.key, whole.into()).replace('"', "&quot;");
        let text = format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        );
        answer(StatusCode::OK, &text)
    }
}
