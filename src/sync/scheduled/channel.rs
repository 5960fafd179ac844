//! Channels over the mutex and the condition variable of a run: crossbeam's interface, as far as
//! the engine uses it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crossbeam_channel::{RecvError, SendError, TryRecvError};

use super::clock::Instant;
use super::{Condvar, Fault, Mutex, RawGuard, strikes};

pub(crate) use crossbeam_channel::RecvTimeoutError;

#[derive(Debug)]
struct Channel<T> {
    queue: Mutex<Queue<T>>,
    /// Signalled when anything changes.
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    messages: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Channel<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// Of at least one message: a send that ends when it is received is not had here.
pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "no channel of a run is without room");
    let messages = VecDeque::new();
    let queue = Mutex::new(Queue { messages, capacity, senders: 1, receivers: 1 });
    let channel = Arc::new(Channel { queue, changed: Condvar::new() });
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

impl<T> Channel<T> {
    fn queue(&self) -> RawGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        queue: RawGuard<'a, Queue<T>>,
        deadline: Option<Instant>,
    ) -> RawGuard<'a, Queue<T>> {
        self.changed.wait_until(queue, deadline).unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut queue = self.0.queue();
        loop {
            if queue.receivers == 0 {
                return Err(SendError(message));
            }
            if queue.messages.len() < queue.capacity {
                break;
            }
            queue = self.0.wait(queue, None);
        }
        let lost = strikes(Fault::LostMessage);
        let message = if lost {
            Some(message)
        } else {
            queue.messages.push_back(message);
            None
        };
        drop(queue);
        drop(message);
        self.0.changed.notify_each();
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        self.receive(None).map_err(|_| RecvError)
    }

    pub(crate) fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.receive(Some(deadline))
    }

    fn receive(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut queue = self.0.queue();
        loop {
            if let Some(message) = queue.messages.pop_front() {
                drop(queue);
                self.0.changed.notify_each();
                return Ok(message);
            }
            if queue.senders == 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(RecvTimeoutError::Timeout);
            }
            queue = self.0.wait(queue, deadline);
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut queue = self.0.queue();
        let Some(message) = queue.messages.pop_front() else {
            let gone = queue.senders == 0;
            return Err(if gone { TryRecvError::Disconnected } else { TryRecvError::Empty });
        };
        drop(queue);
        self.0.changed.notify_each();
        Ok(message)
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.queue().messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.queue().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.queue().senders -= 1;
        self.0.changed.notify_each();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.receivers -= 1;
        // What nobody will receive goes now, as crossbeam has it: a reply in it is answered.
        let unread = std::mem::take(&mut queue.messages);
        drop(queue);
        drop(unread);
        self.0.changed.notify_each();
    }
}
