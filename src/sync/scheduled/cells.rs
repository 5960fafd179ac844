//! The cells of a run. arc-swap is not instrumented: these have its contract, and before each use
//! the scheduler may let another thread go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shuttle::sync::atomic::{AtomicBool, Ordering};

use super::{Fault, is_planted, strikes};

/// What [`Published::load`] gives.
pub(crate) type Loaded<T> = Arc<T>;

/// What may be looked at and changed in one step.
#[derive(Debug)]
struct Step<T> {
    switch: AtomicBool,
    // The system's mutex: held for a look, never across a switch of threads.
    value: Mutex<T>,
}

impl<T> Step<T> {
    const fn new(value: T) -> Self {
        Self { switch: AtomicBool::new(false), value: Mutex::new(value) }
    }

    fn begin(&self) -> MutexGuard<'_, T> {
        // Relaxed: the load is where threads are switched; its value says nothing.
        let _ = self.switch.load(Ordering::Relaxed);
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Published<T> {
    value: Step<Arc<T>>,
    /// The value before, for a planted fault alone.
    before: Mutex<Option<Arc<T>>>,
}

impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self { value: Step::new(value), before: Mutex::new(None) }
    }

    pub(crate) fn load(&self) -> Loaded<T> {
        if strikes(Fault::StaleView)
            && let Some(before) = &*self.before.lock().unwrap_or_else(PoisonError::into_inner)
        {
            return Arc::clone(before);
        }
        self.load_full()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&self.value.begin())
    }

    #[must_use]
    pub(crate) fn replace(&self, current: &Arc<T>, next: Arc<T>) -> bool {
        let mut value = self.value.begin();
        if !Arc::ptr_eq(&value, current) && !is_planted(Fault::LostUpdate) {
            return false;
        }
        let mut before = Some(std::mem::replace(&mut *value, next));
        // Before anything is dropped: what goes may have much to do.
        drop(value);
        if is_planted(Fault::StaleView) {
            let mut kept = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *kept, &mut before);
        }
        true
    }
}

#[derive(Debug)]
pub(crate) struct Slot<T>(Step<Option<Arc<T>>>);

impl<T> Slot<T> {
    pub(crate) const fn empty() -> Self {
        Self(Step::new(None))
    }

    pub(crate) fn full(value: Arc<T>) -> Self {
        Self(Step::new(Some(value)))
    }

    pub(crate) fn load(&self) -> Option<Arc<T>> {
        self.0.begin().clone()
    }

    pub(crate) fn fill(&self, value: Arc<T>) -> bool {
        let mut slot = self.0.begin();
        let empty = slot.is_none();
        if empty {
            *slot = Some(value);
        }
        empty
    }

    pub(crate) fn take(&self) -> Option<Arc<T>> {
        self.0.begin().take()
    }
}
