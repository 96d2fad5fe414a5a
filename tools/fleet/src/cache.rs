//! A vessel's prefix cache: blocks by id, the least recently used displaced first.

use std::collections::HashMap;

/// Stands for "no node" in a list.
const NONE: usize = usize::MAX;

/// A bounded set of blocks in the order of their last use.
///
/// The map is only ever asked for a key, never walked, so its seed shows nowhere.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    places: HashMap<u64, usize>,
    nodes: Vec<Node>,
    newest: usize,
    oldest: usize,
}

#[derive(Debug)]
struct Node {
    block: u64,
    newer: usize,
    older: usize,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        let (places, nodes) = (HashMap::new(), Vec::new());
        Self { capacity, places, nodes, newest: NONE, oldest: NONE }
    }

    /// How many of these blocks are held before the first one that is not.
    pub(crate) fn run(&self, blocks: &[u64]) -> u64 {
        blocks.iter().take_while(|block| self.places.contains_key(block)).count() as u64
    }

    /// Holds these blocks, the first one being the last to go: a block is of no use without those
    /// before it.
    pub(crate) fn keep(&mut self, blocks: &[u64]) {
        let held = blocks.get(..self.capacity).unwrap_or(blocks);
        held.iter().rev().for_each(|block| self.touch(*block));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    fn touch(&mut self, block: u64) {
        let place = match self.places.get(&block).copied() {
            Some(place) => {
                self.unlink(place);
                place
            }
            None if self.nodes.len() < self.capacity => {
                self.nodes.push(Node { block, newer: NONE, older: NONE });
                self.nodes.len() - 1
            }
            None => {
                let place = self.oldest;
                self.unlink(place);
                self.places.remove(&self.nodes[place].block);
                self.nodes[place].block = block;
                place
            }
        };
        self.places.insert(block, place);
        self.link(place);
    }

    fn unlink(&mut self, place: usize) {
        let Node { newer, older, .. } = self.nodes[place];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older].newer = newer,
        }
    }

    fn link(&mut self, place: usize) {
        let older = std::mem::replace(&mut self.newest, place);
        self.nodes[place].newer = NONE;
        self.nodes[place].older = older;
        match older {
            NONE => self.oldest = place,
            older => self.nodes[older].newer = place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let mut cache = Cache::new(3);
        cache.keep(&[1, 2]);
        cache.keep(&[7]);
        assert_eq!(cache.run(&[1, 2, 9]), 2);
        // Three of three are held; 2 was used before 1, and 7 after both.
        cache.keep(&[8]);
        assert_eq!((cache.run(&[1]), cache.run(&[2]), cache.run(&[7])), (1, 0, 1));
        // Using 1 again leaves 7 as the oldest.
        cache.keep(&[1]);
        cache.keep(&[9]);
        assert_eq!((cache.run(&[1]), cache.run(&[7]), cache.run(&[8, 9])), (1, 0, 2));
    }

    #[test]
    fn a_prompt_larger_than_the_cache_leaves_its_beginning() {
        let mut cache = Cache::new(2);
        cache.keep(&[1, 2, 3]);
        assert_eq!(cache.run(&[1, 2, 3]), 2);
        let mut none = Cache::new(0);
        none.keep(&[1]);
        assert_eq!(none.run(&[1]), 0);
    }
}
