//! What to offer where there may be millions of names: all if they are few, else how far they agree
//! and where they part, so that none is hidden.

use alluvium::Keyspace;

use crate::shell::after_prefix;

/// Names offered at once; more would fill the screen, and take long.
const NAMES_MAX: usize = 64;

/// Places where names part that are offered at once.
const BRANCHES_MAX: usize = 512;

/// Something to offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Whole(Vec<u8>),
    /// The beginning of several.
    Start(Vec<u8>),
}

/// Names in bytewise order.
pub(super) trait Sorted {
    /// The first name that is `from` or behind it and begins with `prefix`.
    fn first(&self, prefix: &[u8], from: &[u8]) -> Option<Vec<u8>>;
    /// The last name that begins with `prefix`.
    fn last(&self, prefix: &[u8]) -> Option<Vec<u8>>;
    /// The first names that begin with `prefix`.
    fn some(&self, prefix: &[u8], count: usize) -> Vec<Vec<u8>>;
}

/// A key that cannot be read is not offered; a command will tell why.
impl Sorted for Keyspace {
    fn first(&self, prefix: &[u8], from: &[u8]) -> Option<Vec<u8>> {
        let mut keys = self.prefix(prefix).keys();
        keys.seek(from);
        keys.next()?.ok().map(|key| key.to_vec())
    }

    fn last(&self, prefix: &[u8]) -> Option<Vec<u8>> {
        self.prefix(prefix).keys().next_back()?.ok().map(|key| key.to_vec())
    }

    fn some(&self, prefix: &[u8], count: usize) -> Vec<Vec<u8>> {
        let keys = self.prefix(prefix).keys().map_while(Result::ok);
        keys.take(count).map(|key| key.to_vec()).collect()
    }
}

impl Sorted for Vec<Vec<u8>> {
    fn first(&self, prefix: &[u8], from: &[u8]) -> Option<Vec<u8>> {
        let from = from.max(prefix);
        let name = self.get(self.partition_point(|name| name.as_slice() < from))?;
        name.starts_with(prefix).then(|| name.clone())
    }

    fn last(&self, prefix: &[u8]) -> Option<Vec<u8>> {
        let behind = |name: &Vec<u8>| name.as_slice() < prefix || name.starts_with(prefix);
        let name = self[..self.partition_point(behind)].last()?;
        name.starts_with(prefix).then(|| name.clone())
    }

    fn some(&self, prefix: &[u8], count: usize) -> Vec<Vec<u8>> {
        let start = self.partition_point(|name| name.as_slice() < prefix);
        let fitting = self[start..].iter().take_while(|name| name.starts_with(prefix));
        fitting.take(count).cloned().collect()
    }
}

/// What to offer of the names that begin with `prefix`.
pub(super) fn narrowed(names: &dyn Sorted, prefix: &[u8]) -> Vec<Name> {
    let few = names.some(prefix, NAMES_MAX + 1);
    if few.len() <= NAMES_MAX {
        return few.into_iter().map(Name::Whole).collect();
    }
    // In their order, all agree as far as the first and the last do.
    let Some(last) = names.last(prefix) else { return Vec::new() };
    let common = agreed(&few[0], &last, prefix.len());
    if common.len() > prefix.len() {
        return vec![Name::Start(common)];
    }
    let mut branches = Vec::new();
    let mut from = prefix.to_vec();
    while branches.len() < BRANCHES_MAX {
        let Some(first) = names.first(prefix, &from) else { break };
        if first == prefix {
            from.push(0);
            branches.push(Name::Whole(first));
            continue;
        }
        let branch = &first[..prefix.len() + character(&first[prefix.len()..])];
        let Some(last) = names.last(branch) else { break };
        let next = after_prefix(branch);
        branches.push(match first == last {
            true => Name::Whole(first),
            false => Name::Start(agreed(&first, &last, branch.len())),
        });
        let Some(next) = next else { break };
        from = next;
    }
    branches
}

/// How far two names agree, in whole characters where there are some, at least `least` bytes.
fn agreed(one: &[u8], other: &[u8], least: usize) -> Vec<u8> {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let mut same = &one[..same];
    if let Some(chunk) = same.utf8_chunks().last() {
        let cut = std::str::from_utf8(chunk.invalid());
        if cut.is_err_and(|error| error.error_len().is_none()) {
            same = &same[..(same.len() - chunk.invalid().len()).max(least)];
        }
    }
    same.to_vec()
}

/// Bytes of the first character, or 1.
fn character(text: &[u8]) -> usize {
    let first = text.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    first.map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is offered, with a star behind what goes on; of a list and of a keyspace alike.
    fn offered(names: &[String], prefix: &str) -> Vec<String> {
        let db = alluvium::Db::in_memory().unwrap();
        let keyspace = db.keyspace("names").unwrap();
        for name in names {
            keyspace.put(name, "").unwrap();
        }
        let mut list: Vec<Vec<u8>> = names.iter().map(|name| name.clone().into_bytes()).collect();
        list.sort();
        let found = narrowed(&list, prefix.as_bytes());
        assert_eq!(narrowed(&keyspace, prefix.as_bytes()), found);
        let text = |name: Name| match name {
            Name::Whole(name) => String::from_utf8(name).unwrap(),
            Name::Start(name) => String::from_utf8(name).unwrap() + "*",
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn none_of_many_is_hidden() {
        let mut names: Vec<String> = (0..500).map(|n| format!("user:{n:03}")).collect();
        names.push("user:x".into());
        assert_eq!(offered(&names, ""), ["user:*"]);
        assert_eq!(offered(&names, "us"), ["user:*"]);
        assert_eq!(
            offered(&names, "user:"),
            ["user:0*", "user:1*", "user:2*", "user:3*", "user:4*", "user:x"]
        );
        assert_eq!(offered(&names, "user:0").len(), 10);
        assert_eq!(offered(&names, "user:00").len(), 10);
        assert_eq!(offered(&names, "user:007"), ["user:007"]);
        assert_eq!(offered(&names, "v"), [""; 0]);
        // One that is the beginning of the others, and characters of several bytes.
        let mut names: Vec<String> = (0..100).map(|n| format!("é{n:02}")).collect();
        names.extend(["é".into(), "è".into()]);
        assert_eq!(offered(&names, ""), ["è", "é*"]);
        assert_eq!(offered(&names, "é")[..2], ["é", "é0*"]);
        assert_eq!(offered(&names, "é").len(), 11);
    }
}
