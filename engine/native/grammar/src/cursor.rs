//! How far an answer has come in its grammar.

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use crate::Refused;

/// The tokens that may come next: a bit for each, from the lowest of the first word on.
pub struct Mask(SimpleVob);

impl Mask {
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }

    pub fn allows(&self, token: u32) -> bool {
        (token as usize) < self.0.len() && self.0.is_allowed(token)
    }
}

/// One answer's place in a grammar.
pub struct Cursor {
    matcher: Matcher,
    /// Of the place where it is now, where it was asked for.
    mask: Option<Mask>,
}

impl Cursor {
    pub(crate) fn new(matcher: Matcher) -> Self {
        Self { matcher, mask: None }
    }

    /// Whether the tokens that may come next are known already.
    pub fn is_ready(&self) -> bool {
        self.mask.is_some()
    }

    /// The tokens that may come next; when the answer is complete, those that end it.
    ///
    /// # Errors
    /// When the answer has led to where the grammar is too complex. It stays so.
    pub fn mask(&mut self) -> Result<&Mask, Refused> {
        if self.mask.is_none() {
            let mask = self.matcher.compute_mask_or_eos().map_err(Refused::of)?;
            self.mask = Some(Mask(mask));
        }
        Ok(self.mask.as_ref().expect("it was set"))
    }

    /// Goes on by a token that the mask allows. After the end any token leaves it where it is.
    ///
    /// # Errors
    /// When the token is not allowed.
    pub fn consume(&mut self, token: u32) -> Result<(), Refused> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(());
        }
        self.mask = None;
        self.matcher.consume_token(token).map_err(Refused::of)
    }

    /// Whether nothing but an end can come.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }
}
