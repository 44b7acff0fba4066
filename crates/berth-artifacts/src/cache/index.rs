//! What is in the cache and what may go: the book-keeping, without the disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use berth_domain::digest::Sha256;

use super::Usage;
use super::disk::Stamp;
use crate::error::Error;

/// The files of a cache. Everything that takes room has an entry, also what is only being fetched.
#[derive(Debug)]
pub(super) struct Index {
    limit_bytes: u64,
    used_bytes: u64,
    entries: HashMap<Sha256, Entry>,
    /// Counts uses; the entry used longest ago has the smallest number.
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    size_bytes: u64,
    last_used: u64,
    pins: usize,
    state: State,
    /// Held by whoever fetches or checks the file, so that others join.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not whole on the disk; a part of it may be.
    Partial,
    /// Whole; with the stamp of the file that was last checked against its digest, if any was by this process.
    Whole(Option<Stamp>),
}

impl Index {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            entries: HashMap::new(),
            tick: 0,
        }
    }

    /// Takes in a file that was found on the disk. The order of calls is the order of last use.
    pub(super) fn remember(&mut self, digest: Sha256, size_bytes: u64, whole: bool) {
        let state = if whole { State::Whole(None) } else { State::Partial };
        let entry = self.fresh(size_bytes, state);
        if let Some(old) = self.entries.insert(digest, entry) {
            self.used_bytes -= old.size_bytes;
        }
        self.used_bytes += size_bytes;
    }

    /// What has to go because the limit was lowered; it is forgotten already.
    pub(super) fn shrink(&mut self) -> Vec<Sha256> {
        self.evict(0).unwrap_or_default()
    }

    /// Keeps the files of a model from being evicted until [`Index::unpin`] of each, with room for those that are new:
    /// for all or for none, so that two large models never wait for each other with half their files. Gives what has to
    /// go to make room; that is forgotten already.
    pub(super) fn pin(&mut self, files: &BTreeMap<Sha256, u64>) -> Result<Vec<Sha256>, Error> {
        let known = |index: &Self, digest| index.entries.get(digest).map_or(0, |entry| entry.size_bytes);
        let more = files
            .iter()
            .map(|(digest, size_bytes)| size_bytes.saturating_sub(known(self, digest)))
            .fold(0, u64::saturating_add);
        // First, so that none of them is evicted to make room for the others.
        for digest in files.keys() {
            if let Some(entry) = self.entries.get_mut(digest) {
                entry.pins += 1;
            }
        }
        let evicted = match self.evict(more) {
            Ok(evicted) => evicted,
            Err(error) => {
                for &digest in files.keys() {
                    self.unpin(digest);
                }
                return Err(error);
            }
        };
        self.used_bytes += more;
        for (&digest, &size_bytes) in files {
            let fresh = self.fresh(size_bytes, State::Partial);
            let tick = fresh.last_used;
            let entry = self.entries.entry(digest).or_insert(Entry { pins: 1, ..fresh });
            entry.size_bytes = entry.size_bytes.max(size_bytes);
            entry.last_used = tick;
        }
        Ok(evicted)
    }

    /// Whose turn it is to fetch or check a pinned file.
    pub(super) fn turn(&self, digest: Sha256) -> Arc<tokio::sync::Mutex<()>> {
        self.entries
            .get(&digest)
            .map(|entry| Arc::clone(&entry.turn))
            .unwrap_or_default()
    }

    pub(super) fn unpin(&mut self, digest: Sha256) {
        if let Some(entry) = self.entries.get_mut(&digest) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }

    /// How far a file is.
    pub(super) fn state(&self, digest: Sha256) -> State {
        self.entries
            .get(&digest)
            .map_or(State::Partial, |entry| entry.state)
    }

    /// Notes how far a pinned file is.
    pub(super) fn advance(&mut self, digest: Sha256, state: State) {
        if let Some(entry) = self.entries.get_mut(&digest) {
            entry.state = state;
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            limit_bytes: self.limit_bytes,
            used_bytes: self.used_bytes,
            pinned_bytes: self
                .entries
                .values()
                .filter(|entry| entry.pins > 0)
                .map(|entry| entry.size_bytes)
                .sum(),
        }
    }

    fn fresh(&mut self, size_bytes: u64, state: State) -> Entry {
        self.tick += 1;
        Entry {
            size_bytes,
            last_used: self.tick,
            pins: 0,
            state,
            turn: Arc::default(),
        }
    }

    /// Makes room for `needed_bytes`: forgets what is not pinned, the longest unused first, and only as much as needed.
    fn evict(&mut self, needed_bytes: u64) -> Result<Vec<Sha256>, Error> {
        let excess = self
            .used_bytes
            .saturating_add(needed_bytes)
            .saturating_sub(self.limit_bytes);
        if excess == 0 {
            return Ok(Vec::new());
        }
        let mut loose: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.pins == 0)
            .map(|(&digest, entry)| (entry.last_used, digest, entry.size_bytes))
            .collect();
        loose.sort_unstable();
        let mut freed = 0;
        let victims: Vec<_> = loose
            .into_iter()
            .take_while(|&(_, _, size_bytes)| {
                let more = freed < excess;
                freed += if more { size_bytes } else { 0 };
                more
            })
            .map(|(_, digest, _)| digest)
            .collect();
        if freed < excess && needed_bytes > 0 {
            return Err(Error::Full {
                limit_bytes: self.limit_bytes,
                needed_bytes,
                pinned_bytes: self.usage().pinned_bytes,
            });
        }
        for digest in &victims {
            self.entries.remove(digest);
        }
        self.used_bytes -= freed;
        Ok(victims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: u8) -> Sha256 {
        Sha256::of(&[name])
    }

    fn file(name: u8, size_bytes: u64) -> BTreeMap<Sha256, u64> {
        BTreeMap::from([(digest(name), size_bytes)])
    }

    fn used_once(index: &mut Index, name: u8, size_bytes: u64) -> Vec<Sha256> {
        let evicted = index.pin(&file(name, size_bytes)).expect("has room");
        index.unpin(digest(name));
        evicted
    }

    #[test]
    fn longest_unused_goes_first_and_only_as_much_as_needed() {
        let mut index = Index::new(100);
        for name in 1..=4 {
            assert_eq!(used_once(&mut index, name, 25), []);
        }
        used_once(&mut index, 1, 25);
        assert_eq!(used_once(&mut index, 5, 30), [digest(2), digest(3)]);
        assert_eq!(index.usage().used_bytes, 80);
        assert_eq!(used_once(&mut index, 6, 20), []);
    }

    #[test]
    fn pinned_files_stay_and_a_full_cache_says_so() {
        let mut index = Index::new(100);
        index.pin(&file(1, 60)).expect("has room");
        used_once(&mut index, 2, 40);
        let error = index.pin(&file(3, 50)).expect_err("has no room");
        assert!(matches!(
            error,
            Error::Full {
                limit_bytes: 100,
                needed_bytes: 50,
                pinned_bytes: 60
            }
        ));
        assert_eq!(index.usage().used_bytes, 100, "nothing is evicted in vain");
        index.unpin(digest(1));
        assert_eq!(used_once(&mut index, 3, 50), [digest(1)]);
    }

    #[test]
    fn file_pinned_twice_stays_until_both_let_go() {
        let mut index = Index::new(10);
        index.pin(&file(1, 10)).expect("has room");
        index.pin(&file(1, 10)).expect("is there");
        index.unpin(digest(1));
        assert!(index.pin(&file(2, 10)).is_err());
        index.unpin(digest(1));
        assert_eq!(used_once(&mut index, 2, 10), [digest(1)]);
    }

    #[test]
    fn file_is_not_evicted_to_make_room_for_itself() {
        let mut index = Index::new(10);
        index.remember(digest(1), 4, false);
        assert!(index.pin(&file(1, 11)).is_err());
        assert_eq!(used_once(&mut index, 1, 10), []);
        assert_eq!(
            index.usage(),
            Usage {
                limit_bytes: 10,
                used_bytes: 10,
                pinned_bytes: 0
            }
        );
    }

    #[test]
    fn files_of_a_model_get_room_together_or_not_at_all() {
        let mut index = Index::new(10);
        index.pin(&file(1, 4)).expect("has room");
        used_once(&mut index, 2, 4);
        let model: BTreeMap<_, _> = [(1, 4), (2, 4), (3, 4)]
            .map(|(name, size)| (digest(name), size))
            .into();
        assert!(index.pin(&model).is_err());
        assert_eq!(
            index.usage(),
            Usage {
                limit_bytes: 10,
                used_bytes: 8,
                pinned_bytes: 4
            }
        );
        index.unpin(digest(1));
        let smaller: BTreeMap<_, _> = [(2, 4), (3, 6)].map(|(name, size)| (digest(name), size)).into();
        assert_eq!(index.pin(&smaller).expect("has room"), [digest(1)]);
    }

    #[test]
    fn lowered_limit_evicts_what_is_too_much() {
        let mut index = Index::new(10);
        for name in 1..=3 {
            index.remember(digest(name), 5, true);
        }
        assert_eq!(index.shrink(), [digest(1)]);
        assert_eq!(index.usage().used_bytes, 10);
    }
}
