//! An object that is read from its beginning to its end, in parts, some of which are on their way at
//! once. Each is a request of its own, so the store's client can do it again; the tag of the object
//! says that all are of one.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use object_store::path::Path;

use crate::errors::to_io;
use crate::executor::Call;
use crate::place::Place;

pub(crate) struct ObjectReader {
    place: Place,
    path: Path,
    tag: Option<String>,
    bytes: u64,
    /// Up to where parts were asked for.
    asked: u64,
    coming: VecDeque<Call<Bytes>>,
    part: Bytes,
}

impl ObjectReader {
    /// `NotFound` if there is no such object.
    pub(crate) fn open(place: &Place, path: Path) -> io::Result<Self> {
        let Some(meta) = place.look(&path)? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {path}")));
        };
        Ok(Self {
            place: place.clone(),
            path,
            tag: meta.e_tag,
            bytes: meta.size,
            asked: 0,
            coming: VecDeque::new(),
            part: Bytes::new(),
        })
    }

    fn ask(&mut self) -> io::Result<()> {
        while self.asked < self.bytes && self.coming.len() < self.place.parts_at_once {
            let to = self.bytes.min(self.asked.saturating_add(self.place.part_bytes as u64));
            let range = (self.asked, to);
            self.coming.push_back(self.place.begin_part(&self.path, range, self.tag.as_deref())?);
            self.asked = to;
        }
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            self.ask()?;
            let Some(next) = self.coming.pop_front() else { return Ok(0) };
            self.part = next.wait()?.map_err(to_io)?;
            if self.part.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the store sent nothing"));
            }
        }
        let len = buf.len().min(self.part.len());
        self.part.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }
}
