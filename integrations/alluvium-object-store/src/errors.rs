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

/// That of the system's error which a store of files wraps: a full disk is one that is retryable.
fn kind_within(error: &(dyn Error + 'static)) -> ErrorKind {
    let mut inner = error.source();
    while let Some(error) = inner {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                // `read_to_end` and its kin would begin again without an end.
                ErrorKind::Interrupted => ErrorKind::Other,
                kind => kind,
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
