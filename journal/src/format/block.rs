//! Blocks: records in runs of one length, wherever frames and segments end.

/// A BLAKE3 hash, or a root of the state.
pub type Hash = [u8; 32];

/// Records of a block. Blocks are aligned by sequence: block b begins with record b times this.
pub const BLOCK_RECORDS: u64 = 1024;

/// A complete block: the hash of its records, and the root of the state after the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// BLAKE3 over the domain, the entry before this one and the bytes of the block's records.
    pub hash: Hash,
    /// The root of the state after its last record.
    pub root: Hash,
}

impl BlockEntry {
    /// What stands before the first block.
    pub const GENESIS: Self = Self { hash: [0; 32], root: [0; 32] };
}

/// The first record of the block that holds record `seq`.
pub fn block_start(seq: u64) -> u64 {
    seq - seq % BLOCK_RECORDS
}
