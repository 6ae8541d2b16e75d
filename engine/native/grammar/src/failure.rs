//! Why a grammar is not compiled.

use std::fmt;

/// In characters.
const LONGEST_MESSAGE: usize = 400;

/// What a client wrote cannot be made into a grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A JSON pointer into the schema; empty for the whole of it, or where there is no schema.
    pub place: String,
    pub message: String,
}

impl Refused {
    /// Of llguidance's message the first line: what follows is its state or a backtrace.
    pub(crate) fn of(error: impl ToString) -> Self {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        match first {
            "NoExtensionBias" => Self::new("", "no text satisfies it"),
            _ if first.contains("coerce_one_of") => {
                Self::new("", "`oneOf` cannot be enforced where its schemas may overlap; use `anyOf`")
            }
            _ => Self::new("", first.chars().take(LONGEST_MESSAGE).collect::<String>()),
        }
    }

    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

impl std::error::Error for Refused {}
