//! Reads an adapter's tensors into pages of the pool.

mod description;
mod files;
mod load;

pub use description::AdapterModule;
pub use load::{Place, Target, load};
