//! What a store says, as the engine takes it.

use std::error::Error;
use std::io::{self, ErrorKind};

/// An error of a store, with a kind that says as much as it does.
pub(crate) fn to_io(error: object_store::Error) -> io::Error {
    use object_store::Error as Said;
    let kind = match &error {
        Said::NotFound { .. } => ErrorKind::NotFound,
        Said::AlreadyExists { .. } | Said::Precondition { .. } => ErrorKind::AlreadyExists,
        Said::PermissionDenied { .. } | Said::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        Said::NotSupported { .. } | Said::NotImplemented { .. } => ErrorKind::Unsupported,
        other => kind_within(other),
    };
    io::Error::new(kind, error)
}

/// That of the system's error which a store wraps, if it means the same here: a full disk is one
/// that is retryable. Others do not: a file of the store's own that is missing is no missing
/// backup, and on `Interrupted` `read_to_end` and its kin would begin again without an end.
fn kind_within(error: &(dyn Error + 'static)) -> ErrorKind {
    let mut inner = error.source();
    while let Some(error) = inner {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                kind @ (ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::TimedOut
                | ErrorKind::PermissionDenied) => kind,
                _ => ErrorKind::Other,
            };
        }
        inner = error.source();
    }
    ErrorKind::Other
}

/// Whether the store says that it has no such call, rather than that the call has failed.
pub(crate) fn is_unsupported(error: &object_store::Error) -> bool {
    use object_store::Error::{NotImplemented, NotSupported};
    matches!(error, NotImplemented { .. } | NotSupported { .. })
}

/// Whether there is no such object.
pub(crate) fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// Whether a condition was not met.
pub(crate) fn is_refused(error: &object_store::Error) -> bool {
    use object_store::Error::{AlreadyExists, NotFound, NotModified, Precondition};
    matches!(
        error,
        AlreadyExists { .. } | NotFound { .. } | NotModified { .. } | Precondition { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_the_system_that_mean_something_else_here_do_not_get_through() {
        let kind = |inner: ErrorKind| {
            let source = io::Error::from(inner).into();
            to_io(object_store::Error::Generic { store: "planted", source }).kind()
        };
        for same in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::TimedOut,
            ErrorKind::PermissionDenied,
        ] {
            assert_eq!(kind(same), same);
        }
        for other in [
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::WouldBlock,
            ErrorKind::Interrupted,
        ] {
            assert_eq!(kind(other), ErrorKind::Other);
        }
        let source = io::Error::from(ErrorKind::Other).into();
        let missing = object_store::Error::NotFound { path: "a".into(), source };
        assert_eq!(to_io(missing).kind(), ErrorKind::NotFound);
    }
}
