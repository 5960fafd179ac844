//! The only file that names `tracing`: what the crate tells a subscriber, it tells through here.
//!
//! A subscriber is the program's code. It may take its time and call the database, so no event is
//! sent, and no span begun or ended, under a lock (I35): a debug build panics if one is, and
//! `tests/events/main.rs` calls back from every event.

/// Sends an event: level, fields, message.
macro_rules! event {
    ($level:ident, $($field:tt)+) => {{
        $crate::event::check_no_lock();
        ::tracing::$level!($($field)+);
    }};
}

/// Begins a span of level `info`: name, fields. It ends with the [`Scope`].
macro_rules! scope {
    ($($field:tt)+) => {{
        $crate::event::check_no_lock();
        $crate::event::Scope::of(::tracing::info_span!($($field)+))
    }};
}

pub(crate) use event;
pub(crate) use scope;

/// A span that was entered; dropping it ends it.
#[must_use]
pub(crate) struct Scope(Option<tracing::span::EnteredSpan>);

impl Scope {
    pub(crate) fn of(span: tracing::Span) -> Self {
        Self(Some(span.entered()))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        check_no_lock();
        drop(self.0.take());
    }
}

/// Panics in a debug build if the thread holds a lock, unless it panics already.
pub(crate) fn check_no_lock() {
    debug_assert!(
        crate::sync::locks_held() == 0 || std::thread::panicking(),
        "a subscriber that calls back would wait for this thread (I35)"
    );
}
