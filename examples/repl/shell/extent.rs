//! Which keys.

use std::ops::Bound;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Between { from: Option<Vec<u8>>, to: Option<Vec<u8>> },
    Prefix(Vec<u8>),
}

impl Extent {
    pub(crate) fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        // Bounds the wrong way round hold nothing, like two that are the same.
        match self {
            Self::Prefix(prefix) => {
                let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
                (Bound::Included(prefix.clone()), end)
            }
            Self::Between { from, to } => {
                let to = match (from, to) {
                    (Some(from), Some(to)) => Some(to.max(from).clone()),
                    (_, to) => to.clone(),
                };
                let from = from.clone().map_or(Bound::Unbounded, Bound::Included);
                (from, to.map_or(Bound::Unbounded, Bound::Excluded))
            }
        }
    }
}

/// The first name behind all that begin with `prefix`, if there is one.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
