//! The memory behind the page pool: one allocation, cut into equal pages that hold KV blocks and adapters.
//!
//! Which page holds what is decided by the block manager in TypeScript; here are only the bytes.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Pages start at multiples of this many bytes from the start of the pool, itself aligned to it.
pub const ALIGNMENT: usize = 64;

/// One allocation of `pages` equal pages.
pub struct PagePool {
    data: *mut u8,
    layout: Layout,
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
        let total = page_bytes.checked_mul(pages).ok_or("the page pool's size overflows")?;
        let layout = Layout::from_size_align(total, 4096).map_err(|e| e.to_string())?;
        // SAFETY: the layout's size is not zero.
        let data = unsafe { alloc_zeroed(layout) };
        if data.is_null() {
            return Err(format!("cannot allocate {total} bytes for the page pool; choose a smaller pool"));
        }
        Ok(Self { data, layout, page_bytes, pages })
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

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.data, self.layout) }
    }
}
