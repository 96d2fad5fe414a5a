//! The allocator: mimalloc, asked so that it wastes nothing.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// mimalloc. Whatever is aligned anyway is asked for without its alignment: mimalloc 3 asks itself for
/// more bytes where one is named, which are those of the next size class for a page of rows.
pub(crate) struct Mimalloc;

/// What mimalloc aligns every block to that is as long, its `MI_MAX_ALIGN_SIZE`.
const ALIGNED: usize = 16;

/// Whether a block of this size has this alignment though it is not asked for.
fn is_aligned_anyway(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

// SAFETY: mimalloc gives blocks of at least the size that is asked for, which no other block overlaps, and
// null if there are none; they are as aligned as is asked, or as `is_aligned_anyway` says. It takes back
// and resizes whatever it gave, in either way.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: these take any size, and any power of two.
        let block = unsafe {
            if is_aligned_anyway(size, align) {
                mi_malloc(size)
            } else {
                mi_malloc_aligned(size, align)
            }
        };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block = unsafe {
            if is_aligned_anyway(size, align) {
                mi_zalloc(size)
            } else {
                mi_zalloc_aligned(size, align)
            }
        };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller has it from here.
        unsafe { mi_free(block.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the caller has it from here.
        let block = unsafe {
            if is_aligned_anyway(size, align) {
                mi_realloc(block.cast::<c_void>(), size)
            } else {
                mi_realloc_aligned(block.cast::<c_void>(), size, align)
            }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks are as aligned as they are asked to be, also once they have grown or shrunk, and hold
    /// what they held.
    #[test]
    fn every_block_is_aligned_as_it_is_asked_to_be() {
        let sizes = || (1..=160).chain([500, 4_096, 73_728, 81_920, 81_936, 1 << 20]);
        for align in (0..=12).map(|power| 1 << power) {
            for size in sizes() {
                let layout = Layout::from_size_align(size, align).unwrap();
                for other in [size.div_ceil(3), size * 3] {
                    let kept = size.min(other);
                    // SAFETY: the blocks are read and written within their sizes, and given back as
                    // they were asked for.
                    unsafe {
                        let zeros = Mimalloc.alloc_zeroed(layout);
                        assert_eq!(zeros as usize % align, 0, "{size} bytes at {align}, zeroed");
                        assert!((0..size).all(|place| *zeros.add(place) == 0));
                        let block = Mimalloc.alloc(layout);
                        assert_eq!(block as usize % align, 0, "{size} bytes at {align}");
                        block.write_bytes(0xa5, size);
                        let moved = Mimalloc.realloc(block, layout, other);
                        assert_eq!(moved as usize % align, 0, "{other} bytes at {align}, resized");
                        assert!((0..kept).all(|place| *moved.add(place) == 0xa5));
                        Mimalloc.dealloc(moved, Layout::from_size_align(other, align).unwrap());
                        Mimalloc.dealloc(zeros, layout);
                    }
                }
            }
        }
    }
}
