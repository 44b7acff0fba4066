//! Model files: object store, digests, verified cache, safe unpacking of archives.
