//! The names of the keys, made here and nowhere else.

/// The keys of one store of objects.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Sorted set of the paths of all objects, every score 0.
    pub(super) names: String,
    /// Hash from the path of an object to what is known of it, see [`About`](super::about::About).
    pub(super) about: String,
    /// Sorted set of the chunks that belong to no object yet, by the time of their writing in milliseconds since 1970.
    pub(super) staged: String,
    /// What the name of every chunk begins with.
    pub(super) chunks: String,
    /// String that is written to find out whether all that was written before is on disk.
    pub(super) barrier: String,
    /// A key at which nothing ever lies. A node of a cluster that is giving all keys to another one refuses a script with
    /// a key that it does not have, instead of breaking off when the script comes to one that it has given away.
    pub(super) nothing: String,
}

impl Keys {
    /// Those under the hash tag `{prefix}`, so that all lie in one slot of a cluster.
    pub(super) fn under(prefix: &str) -> Self {
        let of = |name: &str| format!("{{{prefix}}}:objects:{name}");
        Self {
            names: of("names"),
            about: of("about"),
            staged: of("staged"),
            chunks: of("chunk:"),
            barrier: of("barrier"),
            nothing: of(""),
        }
    }

    /// The string with the bytes of a chunk.
    pub(super) fn chunk(&self, id: &str, number: u64) -> String {
        format!("{}{}", self.chunks, member(id, number))
    }
}

/// A chunk as a member of `staged`.
pub(super) fn member(id: &str, number: u64) -> String {
    format!("{id}:{number}")
}
