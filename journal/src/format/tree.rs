//! The Merkle tree over blocks, after RFC 9162 section 2.1 with BLAKE3 in place of SHA-256.
//!
//! A leaf is the hash of a zero byte, a block's hash and the state root beside it; a node is the hash
//! of a one byte and its two children.

use crate::format::block::{BlockEntry, Hash};

/// The hash of a leaf.
pub fn leaf(entry: &BlockEntry) -> Hash {
    let mut bytes = [0u8; 65];
    bytes[1..33].copy_from_slice(&entry.hash);
    bytes[33..].copy_from_slice(&entry.root);
    *blake3::hash(&bytes).as_bytes()
}

/// The hash of a node.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1u8; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    *blake3::hash(&bytes).as_bytes()
}

/// A tree that grows: the roots of its complete subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree over these leaves.
    pub fn over(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut right = leaf;
        // One complete subtree stands for every one bit of the size; adding one carries.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                right = node(&left, &right);
            }
        }
        self.peaks.push(right);
        self.size = self.size.saturating_add(1);
    }

    /// The root; that of no leaves is the hash of nothing.
    pub fn root(&self) -> Hash {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        folded.unwrap_or_else(|| *blake3::hash(&[]).as_bytes())
    }
}

/// The path that proves a leaf: RFC 9162 section 2.1.3.1. `None` if there is no such leaf.
pub fn inclusion(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut index = usize::try_from(index).ok().filter(|index| *index < leaves.len())?;
    let mut rest = leaves;
    let mut path = Vec::new();
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if index < left.len() {
            path.push(root_of(right));
            rest = left;
        } else {
            path.push(root_of(left));
            index -= left.len();
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether `path` proves that `leaf` is number `index` of the tree of this size and root:
/// RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree over the first `size` leaves is a beginning of the tree over all:
/// RFC 9162 section 2.1.4.1. `None` unless `1 <= size <= leaves`. Empty if the two are one.
pub fn consistency(leaves: &[Hash], size: u64) -> Option<Vec<Hash>> {
    let mut size = usize::try_from(size).ok().filter(|size| (1..=leaves.len()).contains(size))?;
    let mut rest = leaves;
    let mut path = Vec::new();
    // Whether the smaller tree is a whole subtree here, whose root the verifier knows already.
    let mut known = true;
    while size < rest.len() {
        let (left, right) = rest.split_at(split(rest.len()));
        if size <= left.len() {
            path.push(root_of(right));
            rest = left;
        } else {
            path.push(root_of(left));
            size -= left.len();
            rest = right;
            known = false;
        }
    }
    if !known {
        path.push(root_of(rest));
    }
    path.reverse();
    Some(path)
}

/// Whether `path` proves that the tree of size and root `first` is a beginning of that of `second`:
/// RFC 9162 section 2.1.4.2.
pub fn verify_consistency(first: (u64, &Hash), second: (u64, &Hash), path: &[Hash]) -> bool {
    let ((size, root), (larger, larger_root)) = (first, second);
    if size == 0 || size > larger {
        return false;
    }
    if size == larger {
        return path.is_empty() && root == larger_root;
    }
    let (start, path) = match path.split_first() {
        None => return false,
        Some(_) if size.is_power_of_two() => (*root, path),
        Some((start, path)) => (*start, path),
    };
    let (mut place, mut last) = (size - 1, larger - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut small, mut large) = (start, start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            small = node(sibling, &small);
            large = node(sibling, &large);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            large = node(&large, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && small == *root && large == *larger_root
}

fn root_of(leaves: &[Hash]) -> Hash {
    Tree::over(leaves.iter().copied()).root()
}

/// The largest power of two below `size`, which is at least two.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: u64 = 64;

    fn leaves(count: u64) -> Vec<Hash> {
        let entry = |seed: u64| BlockEntry { hash: [seed as u8; 32], root: [!seed as u8; 32] };
        (0..count).map(|seed| leaf(&entry(seed))).collect()
    }

    /// RFC 9162 section 2.1.1, word for word.
    fn model(leaves: &[Hash]) -> Hash {
        let hash = |parts: [&[u8]; 3]| *blake3::hash(&parts.concat()).as_bytes();
        match leaves {
            [] => hash([&[], &[], &[]]),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                hash([&[1], &model(&leaves[..k]), &model(&leaves[k..])])
            }
        }
    }

    fn flipped(path: &[Hash], at: usize) -> Vec<Hash> {
        let mut path = path.to_vec();
        path[at][at % 32] ^= 1;
        path
    }

    #[test]
    fn every_size_has_the_root_of_the_model() {
        for size in 0..=SIZES {
            assert_eq!(Tree::over(leaves(size)).root(), model(&leaves(size)), "size {size}");
        }
    }

    #[test]
    fn the_root_of_nothing_is_pinned() {
        let hex = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(blake3::Hash::from_bytes(Tree::default().root()).to_hex().as_str(), hex);
    }

    #[test]
    fn every_leaf_is_included_and_nothing_else_is() {
        for size in 1..=SIZES {
            let leaves = leaves(size);
            let root = model(&leaves);
            for index in 0..size {
                let leaf = leaves[index as usize];
                let path = inclusion(&leaves, index).unwrap();
                assert!(verify_inclusion(&leaf, index, size, &path, &root), "{index} of {size}");
                for at in 0..path.len() {
                    assert!(!verify_inclusion(&leaf, index, size, &flipped(&path, at), &root));
                    assert!(!verify_inclusion(&leaf, index, size, &path[..at], &root));
                }
                let longer = [path.clone(), vec![leaf]].concat();
                assert!(!verify_inclusion(&leaf, index, size, &longer, &root));
                assert!(!verify_inclusion(&[7; 32], index, size, &path, &root));
                for other in (0..size).filter(|other| *other != index) {
                    assert!(!verify_inclusion(&leaf, other, size, &path, &root));
                }
            }
            assert_eq!(inclusion(&leaves, size), None);
            assert!(!verify_inclusion(&leaves[0], size, size, &[], &root));
        }
    }

    #[test]
    fn every_pair_of_sizes_is_consistent_and_nothing_else_is() {
        for larger in 1..=SIZES {
            let leaves = leaves(larger);
            let second = (larger, &model(&leaves));
            for size in 1..=larger {
                let first = (size, &model(&leaves[..size as usize]));
                let path = consistency(&leaves, size).unwrap();
                assert!(verify_consistency(first, second, &path), "{size} in {larger}");
                for at in 0..path.len() {
                    assert!(!verify_consistency(first, second, &flipped(&path, at)));
                    assert!(!verify_consistency(first, second, &path[..at]));
                }
                let longer = [path.clone(), vec![[7; 32]]].concat();
                assert!(!verify_consistency(first, second, &longer));
                assert!(!verify_consistency((size, &[7; 32]), second, &path));
                assert!(!verify_consistency(first, (larger, &[7; 32]), &path));
            }
            assert_eq!(consistency(&leaves, 0), None);
            assert_eq!(consistency(&leaves, larger + 1), None);
        }
    }
}
