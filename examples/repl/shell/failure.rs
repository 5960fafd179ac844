//! How a command fails.

use std::io;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it prints could not be written.
    Output(io::Error),
    /// The user wanted an end; how far it came.
    Interrupted(String),
    /// Anything else, as a sentence.
    Message(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<alluvium::Error> for Failure {
    fn from(error: alluvium::Error) -> Self {
        Self::Message(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.into())
    }
}
