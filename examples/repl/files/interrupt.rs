//! Ctrl-C: a long command notices it, ends, and says how far it came.
//!
//! The signal only sets a flag and writes a byte into a pipe, which wakes a read that waits for a
//! pipe or a terminal. In a script a second one that comes before the first was noticed ends the
//! program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use signal_hook::consts::SIGINT;

/// Exit status of a program that an interrupt has ended, as a shell has it.
pub(crate) const STATUS: u8 = 130;

/// How often a wait for another thread looks for an interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the user has asked for an end. Clones share what they know.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    #[cfg(unix)]
    bell: Option<Arc<UnixStream>>,
}

/// The error of a read or a write that was waiting when the interrupt came.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Not of the kind `Interrupted`, after which readers of the standard library try again.
#[cfg(unix)]
fn interrupted() -> io::Error {
    io::Error::other(Interrupted)
}

/// Whether a read or a write ended because of an interrupt.
pub(crate) fn is_interrupt(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Interrupted>())
}

impl Interrupt {
    /// Takes the signal from now on. In a `script` the second one in a row ends the program.
    pub(crate) fn listen(script: bool) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        if script {
            let status = i32::from(STATUS);
            signal_hook::flag::register_conditional_shutdown(SIGINT, status, Arc::clone(&asked))?;
        }
        signal_hook::flag::register(SIGINT, Arc::clone(&asked))?;
        #[cfg(unix)]
        let bell = {
            let (bell, rope) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(SIGINT, rope)?;
            Some(Arc::new(bell))
        };
        Ok(Self {
            asked,
            #[cfg(unix)]
            bell,
        })
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Forgets what was asked, before the next command.
    pub(crate) fn clear(&self) {
        // First: a signal that comes in between sets it again, and then it is the bell that nobody
        // needs.
        self.asked.store(false, Ordering::Release);
        #[cfg(unix)]
        self.silence();
    }

    #[cfg(unix)]
    fn silence(&self) {
        if let Some(bell) = &self.bell {
            let mut bytes = [0; 64];
            while io::Read::read(&mut &**bell, &mut bytes).is_ok_and(|count| count > 0) {}
        }
    }

    /// Does `work` on a thread of its own and waits for it; `None` if the user does not want to
    /// wait any longer, and the work goes on unobserved.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        let worker = thread::spawn(move || drop(answer.send(work())));
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(value) => return Some(value),
                Err(RecvTimeoutError::Timeout) if self.is_asked() => return None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => unreachable!("a worker that ends has answered"),
                },
            }
        }
    }

    /// Sleeps, and wakes soon after an interrupt.
    pub(crate) fn sleep(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.is_asked() {
            let step = left.min(LOOK);
            thread::sleep(step);
            left -= step;
        }
    }

    /// Waits until a read of `fd` would not wait, or fails with an interrupt.
    #[cfg(unix)]
    pub(crate) fn until_readable(&self, fd: impl AsFd) -> io::Result<()> {
        if self.is_asked() {
            return Err(interrupted());
        }
        self.until(fd, rustix::event::PollFlags::IN)
    }

    /// The same for a write; what can be written is written even after an interrupt.
    #[cfg(unix)]
    pub(crate) fn until_writable(&self, fd: impl AsFd) -> io::Result<()> {
        self.until(fd, rustix::event::PollFlags::OUT)
    }

    #[cfg(unix)]
    fn until(&self, fd: impl AsFd, flags: rustix::event::PollFlags) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            let mut fds = vec![PollFd::new(&fd, flags)];
            if let Some(bell) = &self.bell {
                fds.push(PollFd::new(&**bell, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => {}
            }
            if self.is_asked() {
                return Err(interrupted());
            }
            // It rang for what has been forgotten, and would go on waking this.
            self.silence();
            if self.is_asked() {
                return Err(interrupted());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_asked_to() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.wait(|| 7), Some(7));
        let (go, gone) = mpsc::channel::<()>();
        interrupt.asked.store(true, Ordering::Release);
        assert_eq!(interrupt.wait(move || gone.recv().is_err()), None);
        drop(go);
        interrupt.sleep(Duration::from_secs(1_000));
        interrupt.clear();
        assert!(!interrupt.is_asked());
        assert!(is_interrupt(&interrupted()));
        assert!(!is_interrupt(&io::Error::from(io::ErrorKind::Interrupted)));
    }

    /// Symptom: an interrupt that came as the last one was forgotten was lost, and the next wait
    /// for a line kept the processor busy. Mechanism: the bell went on ringing for nothing. Fix: a
    /// wait that it wakes for nothing silences it.
    #[cfg(unix)]
    #[test]
    fn a_bell_that_rings_for_nothing_is_silenced() {
        let pair = || UnixStream::pair().unwrap();
        let (bell, mut rope) = pair();
        let (input, mut source) = pair();
        bell.set_nonblocking(true).unwrap();
        let interrupt = Interrupt { bell: Some(Arc::new(bell)), ..Interrupt::default() };
        io::Write::write_all(&mut rope, &[1]).unwrap();
        let waiting = interrupt.clone();
        let wait = thread::spawn(move || waiting.until_readable(&input));
        let bell = interrupt.bell.as_ref().unwrap();
        let rings = || {
            let mut fds = [rustix::event::PollFd::new(&**bell, rustix::event::PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            rustix::event::poll(&mut fds, Some(&now)).unwrap() > 0
        };
        while rings() {
            thread::yield_now();
        }
        io::Write::write_all(&mut source, &[1]).unwrap();
        wait.join().unwrap().unwrap();
    }
}
