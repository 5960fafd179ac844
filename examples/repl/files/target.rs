//! Where an export goes.
//!
//! | target | how it is written |
//! |---|---|
//! | a plain file, or none yet | beside it, synced, renamed: whole or not there |
//! | `-`, `/dev/stdout` | with the answers, in their order |
//! | another descriptor, a pipe, a device | directly; a failed export leaves what it has written |

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::files::descriptor;
use crate::files::interrupt::Interrupt;

/// Bytes written to a file at once.
const WRITE_BYTES: usize = 256 << 10;

/// Bytes that a pipe takes without waiting once it takes any.
#[cfg(unix)]
const PIPE_BYTES: usize = 4096;

/// The file that an export writes, and the one that it becomes.
pub(crate) enum Target {
    Plain {
        file: BufWriter<File>,
        beside: PathBuf,
        named: PathBuf,
    },
    /// Standard output.
    Answers,
    Direct(BufWriter<Patient>),
}

impl Target {
    pub(crate) fn create(path: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Answers);
        }
        match descriptor::named(path) {
            Some(1) => return Ok(Self::Answers),
            Some(number) => return Ok(Self::direct(descriptor::copy(number)?, interrupt)),
            None => {}
        }
        match fs::metadata(path) {
            Ok(data) if data.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            Ok(data) if !data.is_file() => Ok(Self::direct(special(path, interrupt)?, interrupt)),
            Ok(_) => Self::plain(&fs::canonicalize(path)?),
            // A link that leads nowhere is kept, and leads to the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::plain(&followed(path)),
            Err(error) => Err(error),
        }
    }

    fn direct(file: File, interrupt: &Interrupt) -> Self {
        let file = Patient { file, interrupt: interrupt.clone() };
        Self::Direct(BufWriter::with_capacity(WRITE_BYTES, file))
    }

    fn plain(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // A file of that name is a user's, or that of an export in another process.
        for number in 0_u64.. {
            let mut beside = OsString::from(name);
            beside.push(if number == 0 { ".part".into() } else { format!(".part{number}") });
            let beside = path.with_file_name(beside);
            match File::create_new(&beside) {
                Ok(file) => {
                    let file = BufWriter::with_capacity(WRITE_BYTES, file);
                    return Ok(Self::Plain { file, beside, named: path.into() });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("no directory holds that many files")
    }

    /// Where rows go, which for standard output is `answers`.
    pub(crate) fn writer<'a>(&'a mut self, answers: &'a mut dyn Write) -> &'a mut dyn Write {
        match self {
            Self::Plain { file, .. } => file,
            Self::Answers => answers,
            Self::Direct(file) => file,
        }
    }

    /// Ends the file, and gives it its name.
    pub(crate) fn complete(&mut self) -> io::Result<()> {
        match self {
            Self::Plain { file, beside, named } => {
                file.flush()?;
                let file = file.get_ref();
                // A file that is replaced keeps its owner's wishes about who may read it.
                if let Ok(data) = fs::metadata(&*named) {
                    file.set_permissions(data.permissions())?;
                }
                file.sync_all()?;
                fs::rename(beside, named)
            }
            Self::Answers => Ok(()),
            Self::Direct(file) => file.flush(),
        }
    }

    /// Gives up, and says what is left behind of `rows` rows.
    pub(crate) fn discard(self, rows: &str, name: &str) -> String {
        match self {
            Self::Plain { beside, .. } => match fs::remove_file(&beside) {
                Ok(()) => format!("{name} is as it was before"),
                Err(error) => {
                    let beside = beside.display();
                    format!("{name} is as it was before; {beside} cannot be removed: {error}")
                }
            },
            Self::Answers => format!("{rows} were written before"),
            Self::Direct(file) => {
                // What waits in memory is dropped: to write it may wait for ever.
                drop(file.into_parts());
                format!("{name} may hold a part of the first {rows}")
            }
        }
    }
}

/// Where a link leads, whether or not anything is there.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    path
}

#[cfg(unix)]
fn special(path: &Path, interrupt: &Interrupt) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::Duration;
    // A pipe that nobody reads yet would keep the open waiting.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let nobody = Some(rustix::io::Errno::NXIO.raw_os_error());
    loop {
        match fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(path) {
            Err(error) if error.raw_os_error() == nobody && !interrupt.is_asked() => {
                interrupt.sleep(Duration::from_millis(50));
            }
            opened => return opened,
        }
    }
}

#[cfg(not(unix))]
fn special(path: &Path, _: &Interrupt) -> io::Result<File> {
    fs::OpenOptions::new().write(true).open(path)
}

/// A file that may keep its writer waiting, until an interrupt.
pub(crate) struct Patient {
    file: File,
    interrupt: Interrupt,
}

impl Patient {
    /// Standard output.
    pub(crate) fn standard(interrupt: &Interrupt) -> io::Result<Self> {
        Ok(Self { file: descriptor::copy(1)?, interrupt: interrupt.clone() })
    }
}

impl Write for Patient {
    #[cfg(unix)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.interrupt.until_writable(&self.file)?;
            match self.file.write(&bytes[..bytes.len().min(PIPE_BYTES)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                wrote => return wrote,
            }
        }
    }

    #[cfg(not(unix))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = &self.interrupt;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
