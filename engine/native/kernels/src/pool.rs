//! The memory behind the page pool: one allocation, cut into equal pages that hold KV blocks and adapters.
//!
//! Which page holds what is decided by the block manager in TypeScript; here are only the bytes.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Pages start at multiples of this many bytes from the start of the pool, itself aligned to it.
pub const ALIGNMENT: usize = 64;

/// The first page starts at a multiple of this many bytes, a huge page of the operating system's.
const BASE_ALIGNMENT: usize = 2 << 20;

/// One allocation of `pages` equal pages.
pub struct PagePool {
    allocation: *mut u8,
    layout: Layout,
    /// The first page, inside the allocation.
    data: *mut u8,
    page_bytes: usize,
    pages: usize,
}

// SAFETY: the pool hands out raw pointers only; whoever dereferences them promises not to race (see `page`).
unsafe impl Send for PagePool {}
// SAFETY: as above.
unsafe impl Sync for PagePool {}

impl PagePool {
    /// Allocates the pool; pages are zero and take memory only once written.
    ///
    /// # Errors
    /// When the size is zero, not a multiple of [`ALIGNMENT`], or cannot be allocated.
    pub fn new(page_bytes: usize, pages: usize) -> Result<Self, String> {
        if page_bytes == 0 || pages == 0 || !page_bytes.is_multiple_of(ALIGNMENT) {
            return Err(format!("a pool of {pages} pages of {page_bytes} bytes is not possible"));
        }
        let too_large = || format!("a page pool of {pages} pages of {page_bytes} bytes is too large");
        let total = page_bytes.checked_mul(pages).and_then(|bytes| bytes.checked_add(BASE_ALIGNMENT));
        // Asking for a small alignment and aligning here lets the allocator map untouched zero pages; for a
        // large one it would write them all.
        let layout = Layout::from_size_align(total.ok_or_else(too_large)?, 16).map_err(|_| too_large())?;
        // SAFETY: the layout's size is not zero.
        let allocation = unsafe { alloc_zeroed(layout) };
        if allocation.is_null() {
            return Err(format!(
                "cannot allocate {} bytes for the page pool; choose a smaller one",
                layout.size()
            ));
        }
        // SAFETY: the allocation is that much larger than the pages.
        let data = unsafe { allocation.add(allocation.align_offset(BASE_ALIGNMENT)) };
        advise_huge_pages(data, page_bytes * pages);
        Ok(Self { allocation, layout, data, page_bytes, pages })
    }

    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Address of a page. Reading or writing through it is sound only while no other thread writes the same
    /// bytes: the block manager gives a page to one owner at a time, and a step writes only the blocks of its
    /// own sequences, each (layer, head, token) once.
    ///
    /// # Panics
    /// When there is no such page.
    #[inline(always)]
    pub fn page(&self, index: u32) -> *mut u8 {
        assert!((index as usize) < self.pages, "page {index} of {}", self.pages);
        // SAFETY: in bounds by the assertion.
        unsafe { self.data.add(index as usize * self.page_bytes) }
    }
}

/// Asks for huge pages: kernels hop through the pool, so that with small ones every hop would miss the processor's
/// table of addresses. It is a wish, so a refusal is not an error.
fn advise_huge_pages(data: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        unsafe extern "C" {
            fn madvise(
                start: *mut std::ffi::c_void,
                bytes: usize,
                advice: std::ffi::c_int,
            ) -> std::ffi::c_int;
        }
        const MADV_HUGEPAGE: std::ffi::c_int = 14;
        // SAFETY: the range is this allocation's, and the advice changes no bytes.
        unsafe { madvise(data.cast(), bytes, MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, bytes);
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.allocation, self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_aligned_and_apart() {
        let pool = PagePool::new(192, 1000).unwrap();
        for page in 0..1000 {
            // SAFETY: each page is 192 bytes that nothing else refers to.
            let bytes = unsafe { std::slice::from_raw_parts_mut(pool.page(page), 192) };
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(1);
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (bytes, pages) in [(0, 1), (64, 0), (100, 1), (64, usize::MAX / 32), (1 << 40, 1 << 22)] {
            assert!(PagePool::new(bytes, pages).is_err());
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn untouched_pages_take_no_memory() {
        let resident = || -> usize {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let before = resident();
        let pool = PagePool::new(1 << 20, 1024).unwrap();
        assert!(resident() < before + (256 << 20), "a gibibyte was written at once");
        drop(pool);
    }
}
