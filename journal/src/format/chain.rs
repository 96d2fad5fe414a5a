//! The chain: what the records of a journal hash to, however they were committed together.

use crate::format::block::{BLOCK_RECORDS, BlockEntry, Hash};
use crate::format::tree::{self, Tree};

/// What sets a block's hash apart from every other use of BLAKE3.
pub const BLOCK_DOMAIN: [u8; 16] = *b"tensorforge-blk1";

/// The open block, and the entry that it hangs on.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    next_seq: u64,
    hasher: blake3::Hasher,
}

impl Links {
    /// Stands at the beginning of a block: after record `next_seq - 1`, the last one of `previous`.
    pub(crate) fn resume(next_seq: u64, previous: &BlockEntry) -> Self {
        debug_assert_eq!(next_seq % BLOCK_RECORDS, 0);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&BLOCK_DOMAIN).update(&previous.hash).update(&previous.root);
        Self { next_seq, hasher }
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Takes the bytes of `count` records; the last of them may end the block but not pass its end.
    pub(crate) fn push(&mut self, records: &[u8], count: u64) {
        debug_assert!(self.next_seq % BLOCK_RECORDS + count <= BLOCK_RECORDS);
        self.hasher.update(records);
        self.next_seq = self.next_seq.saturating_add(count);
    }

    /// Ends the block with the state root after its last record.
    pub(crate) fn end_block(&mut self, root: Hash) -> BlockEntry {
        let entry = BlockEntry { hash: self.running(), root };
        *self = Self::resume(self.next_seq, &entry);
        entry
    }

    pub(crate) fn running(&self) -> Hash {
        *self.hasher.finalize().as_bytes()
    }
}

/// The chain at the end of a journal: it grows with the records and never looks back.
#[derive(Clone, Debug)]
pub struct Chain {
    links: Links,
    tree: Tree,
}

/// Where a chain stands; equal heads mean equal records and equal roots at every block's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The next record.
    pub next_seq: u64,
    /// The hash of the open block so far.
    pub running: Hash,
    /// The root of the tree over the complete blocks.
    pub tree_root: Hash,
}

impl Chain {
    /// The chain of a journal without records.
    pub fn genesis() -> Self {
        Self::at(Links::resume(0, &BlockEntry::GENESIS), Tree::default())
    }

    /// The chain after these complete blocks.
    pub fn resume(blocks: &[BlockEntry]) -> Self {
        let next_seq = (blocks.len() as u64).saturating_mul(BLOCK_RECORDS);
        let last = blocks.last().unwrap_or(&BlockEntry::GENESIS);
        Self::at(Links::resume(next_seq, last), Tree::over(blocks.iter().map(tree::leaf)))
    }

    pub(crate) fn at(links: Links, tree: Tree) -> Self {
        debug_assert_eq!(links.next_seq / BLOCK_RECORDS, tree.size());
        Self { links, tree }
    }

    /// The next record.
    pub fn next_seq(&self) -> u64 {
        self.links.next_seq
    }

    /// How many records the open block still takes.
    pub fn room(&self) -> u64 {
        BLOCK_RECORDS - self.links.next_seq % BLOCK_RECORDS
    }

    /// Takes the bytes of `count` records in one run; at most [`room`](Self::room) of them.
    /// Long runs hash several times faster than single records.
    pub fn push(&mut self, records: &[u8], count: u64) {
        self.links.push(records, count);
    }

    /// Ends the block, which must be full, with the state root after its last record.
    pub fn end_block(&mut self, root: Hash) -> BlockEntry {
        let entry = self.links.end_block(root);
        self.tree.push(tree::leaf(&entry));
        entry
    }

    /// The hash of the open block so far. Straight after a block's end it is the hash of what the
    /// next block begins with: the domain and the entry of the block that ended.
    pub fn running(&self) -> Hash {
        self.links.running()
    }

    /// The root of the tree over the complete blocks.
    pub fn tree_root(&self) -> Hash {
        self.tree.root()
    }

    /// Where it stands.
    pub fn head(&self) -> ChainHead {
        let next_seq = self.next_seq();
        ChainHead { next_seq, running: self.running(), tree_root: self.tree_root() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_hash_of_its_domain_its_predecessor_and_its_records() {
        let mut chain = Chain::genesis();
        chain.push(b"some", 1000);
        chain.push(b"thing", 24);
        let first = chain.end_block([1; 32]);
        let bytes = [b"tensorforge-blk1".as_slice(), &[0; 64], b"something"].concat();
        assert_eq!(first.hash, *blake3::hash(&bytes).as_bytes());

        chain.push(b"more", 1);
        let bytes = [b"tensorforge-blk1".as_slice(), &first.hash, &[1; 32], b"more"].concat();
        assert_eq!(chain.running(), *blake3::hash(&bytes).as_bytes());
        assert_eq!(chain.room(), 1023);
    }

    #[test]
    fn a_chain_resumes_at_a_blocks_end() {
        let mut chain = Chain::genesis();
        let blocks: Vec<BlockEntry> = (0..5)
            .map(|block| {
                chain.push(&[block; 100], BLOCK_RECORDS);
                chain.end_block([block; 32])
            })
            .collect();
        assert_eq!(Chain::resume(&blocks).head(), chain.head());
        assert_eq!(Chain::resume(&[]).head(), Chain::genesis().head());
    }
}
