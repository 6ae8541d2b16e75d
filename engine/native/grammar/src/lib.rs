//! Grammars for answers: what a request asks its answer to be, compiled, and the tokens that may come next.
//!
//! The work is `llguidance`'s. This crate gives it the model's tokens, bounds what it may take, and says where in a
//! schema something is wrong.

mod alternatives;
mod cursor;
mod failure;
mod formats;
mod grammar;
mod patterns;
mod schema;
mod source;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Mask};
pub use failure::Refused;
pub use grammar::{Compiler, Grammar};
pub use source::Source;
pub use vocabulary::{Token, Vocabulary};
