//! The engines, a file each, their names and versions.

mod alluvium;
mod fjall;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod surrealkv;

use crate::Result;
use crate::engine::{Engine, Optimistic};

/// The first is the one that the others are compared with.
pub(crate) const ALL: &[Description] = &[
    Description { name: "alluvium", title: "Alluvium", packages: &["alluvium"] },
    Description { name: "alluvium-mapped", title: "Alluvium, mapped", packages: &["alluvium"] },
    #[cfg(feature = "rocksdb")]
    Description { name: "rocksdb", title: "RocksDB", packages: &["rocksdb", "librocksdb-sys"] },
    Description { name: "fjall", title: "fjall", packages: &["fjall"] },
    Description { name: "lmdb", title: "LMDB", packages: &["heed", "lmdb-master-sys"] },
    Description { name: "redb", title: "redb", packages: &["redb"] },
    Description { name: "sled", title: "sled", packages: &["sled"] },
    Description { name: "surrealkv", title: "SurrealKV", packages: &["surrealkv"] },
];

/// An engine as a reader of the results knows it.
pub(crate) struct Description {
    /// As the settings have it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The crates that it comes in.
    packages: &'static [&'static str],
}

impl Description {
    /// As the lock file has them.
    pub(crate) fn versions(&self) -> String {
        const LOCK: &str = include_str!("../../../../Cargo.lock");
        let version = |package: &&str| {
            let head = format!("name = \"{package}\"\nversion = \"");
            let rest = LOCK.split_once(&head).map_or("?", |(_, rest)| rest);
            format!("{package} {}", rest.split('"').next().unwrap_or("?"))
        };
        self.packages.iter().map(version).collect::<Vec<_>>().join(", ")
    }
}

/// Something to do with an engine, whichever it is.
pub(crate) trait Visit {
    type Output;

    fn visit<E: Engine>(self) -> Result<Self::Output>;
}

/// Does it with the engine of this name.
pub(crate) fn visit<V: Visit>(name: &str, what: V) -> Result<V::Output> {
    match name {
        "alluvium" => what.visit::<alluvium::Alluvium<false>>(),
        "alluvium-mapped" => what.visit::<alluvium::Alluvium<true>>(),
        "fjall" => what.visit::<fjall::Fjall>(),
        "lmdb" => what.visit::<lmdb::Lmdb>(),
        "redb" => what.visit::<redb::Redb>(),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => what.visit::<rocksdb::RocksDb>(),
        "sled" => what.visit::<sled::Sled>(),
        "surrealkv" => what.visit::<surrealkv::SurrealKv>(),
        other => Err(format!("there is no engine `{other}` in this build").into()),
    }
}

/// Something to do with an engine whose transactions may lose to others.
pub(crate) trait VisitOptimistic {
    type Output;

    fn visit<O: Optimistic>(self) -> Result<Self::Output>;
}

/// Does it with the engine of this name, if it is one. LMDB and redb let one writer in after the
/// other, and so does sled, which locks out all that write while a transaction runs.
pub(crate) fn visit_optimistic<V: VisitOptimistic>(
    name: &str,
    what: V,
) -> Result<Option<V::Output>> {
    let done = match name {
        "alluvium" => what.visit::<alluvium::Alluvium<false>>(),
        "fjall" => what.visit::<fjall::Optimist>(),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => what.visit::<rocksdb::Optimist>(),
        "surrealkv" => what.visit::<surrealkv::SurrealKv>(),
        _ => return Ok(None),
    };
    done.map(Some)
}
