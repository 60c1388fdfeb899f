//! The allocator, and memory that is needed no more.
#![allow(
    unsafe_code,
    reason = "the allocator's own call and the kernel's have no safe wrapper"
)]

mod own_pages;

/// mimalloc, without transparent huge pages (see the feature in the workspace's Cargo.toml): a heap of one MiB would
/// occupy eight.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives memory that was freed back to the system, and pages of the program that only start-up needs. Takes milliseconds: for
/// moments of start-up when much has gone, such as the configuration's text and messages.
pub(crate) fn give_back() {
    // SAFETY: `mi_collect` may be called from any thread at any time; it takes no pointer and frees only what is free.
    unsafe { libmimalloc_sys::mi_collect(true) }
    own_pages::drop_clean();
}
