//! Files to read: plain ones, and pipes and terminals, on which an interrupt ends the wait.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::files::descriptor;
use crate::files::interrupt::Interrupt;

/// An open file.
pub(crate) struct Input {
    pub(crate) reader: Box<dyn Read>,
    /// Its length, if it is a plain file.
    pub(crate) total: Option<u64>,
}

/// Opens a file; `-` is standard input. The error is a sentence.
pub(crate) fn open(path: &Path, interrupt: &Interrupt) -> Result<Input, String> {
    let name = path.display();
    let cannot = |error: io::Error| format!("cannot open {name}: {error}");
    if path.as_os_str() == "-" || descriptor::named(path) == Some(0) {
        return Ok(Input { reader: standard(interrupt), total: None });
    }
    let data = fs::metadata(path).map_err(cannot)?;
    if data.is_dir() {
        return Err(format!("cannot open {name}: it is a directory"));
    }
    if data.is_file() {
        let file = File::open(path).map_err(cannot)?;
        return Ok(Input { reader: Box::new(file), total: Some(data.len()) });
    }
    let reader = special(path, interrupt).map_err(cannot)?;
    Ok(Input { reader, total: None })
}

/// Standard input.
pub(crate) fn standard(interrupt: &Interrupt) -> Box<dyn Read> {
    #[cfg(unix)]
    if let Ok(file) = descriptor::copy(0) {
        return Box::new(Patient { file, interrupt: interrupt.clone() });
    }
    let _ = interrupt;
    Box::new(io::stdin())
}

#[cfg(unix)]
fn special(path: &Path, interrupt: &Interrupt) -> io::Result<Box<dyn Read>> {
    use std::os::unix::fs::OpenOptionsExt;
    // Without waiting for the other end of a pipe: the read waits for it, and can be interrupted.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    Ok(Box::new(Patient { file, interrupt: interrupt.clone() }))
}

#[cfg(not(unix))]
fn special(path: &Path, _: &Interrupt) -> io::Result<Box<dyn Read>> {
    Ok(Box::new(File::open(path)?))
}

/// What may keep a reader waiting.
#[cfg(unix)]
struct Patient {
    file: File,
    interrupt: Interrupt,
}

#[cfg(unix)]
impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.interrupt.until_readable(&self.file)?;
            match self.file.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn whole(
    path: &Path,
    bytes_max: usize,
    interrupt: &Interrupt,
) -> Result<Vec<u8>, String> {
    let input = open(path, interrupt)?;
    let mut bytes = Vec::new();
    let read = input.reader.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if bytes.len() > bytes_max {
        return Err(format!("{} has more than {bytes_max} bytes", path.display()));
    }
    Ok(bytes)
}
