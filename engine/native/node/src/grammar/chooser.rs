//! A request's sampler with its grammar: the next token, and why there is none.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use polylora_grammar::{Cursor, Refused};
use polylora_kernels::sampling::{NumericalError, Sampled, Sampler, Scratch};

use super::Masks;

/// Why a request gets no token. It concerns that request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchosen {
    /// The model's values are not finite.
    NotFinite,
    /// No token that the grammar allows has a probability above 0.
    NothingAllowed,
    /// The answer has led to where the grammar is too complex.
    TooComplex,
}

impl Unchosen {
    /// As a token in [`crate::executor::StepOutput`].
    pub fn code(self) -> i32 {
        match self {
            Self::NotFinite => -1,
            Self::NothingAllowed => -2,
            Self::TooComplex => -3,
        }
    }
}

impl From<NumericalError> for Unchosen {
    fn from(_: NumericalError) -> Self {
        Self::NotFinite
    }
}

impl From<Refused> for Unchosen {
    fn from(_: Refused) -> Self {
        Self::TooComplex
    }
}

/// Chooses one request's tokens, in order: what may come next follows from what came.
pub struct Chooser {
    sampler: Mutex<Sampler>,
    constraint: Option<(Arc<Mutex<Cursor>>, Arc<Masks>)>,
}

impl Chooser {
    pub fn new(sampler: Sampler, constraint: Option<(Cursor, Arc<Masks>)>) -> Self {
        let constraint = constraint.map(|(cursor, masks)| (Arc::new(Mutex::new(cursor)), masks));
        Self { sampler: Mutex::new(sampler), constraint }
    }

    /// Chooses the next token from its row of logits. The mask of the one after it is begun at once, beside the next step.
    ///
    /// # Errors
    /// When there is none; the request cannot go on then.
    pub fn choose(&self, logits: &[f32], scratch: &mut Scratch) -> Result<Sampled, Unchosen> {
        let mut sampler = self.sampler.lock().expect("no sampler panicked before");
        let Some((cursor, masks)) = &self.constraint else { return Ok(sampler.sample(logits, scratch)?) };
        let waiting = Instant::now();
        let sampled = {
            let mut cursor = cursor.lock().expect("no mask panicked before");
            masks.compute(&mut cursor)?;
            masks.waited(waiting.elapsed());
            let allowed = cursor.mask()?.words();
            let sampled =
                sampler.sample_among(Some(allowed), logits, scratch).map_err(|error| match error {
                    NumericalError::NotFinite { .. } => Unchosen::NotFinite,
                    NumericalError::NothingToSample => Unchosen::NothingAllowed,
                })?;
            cursor.consume(sampled.token)?;
            sampled
        };
        masks.begin(cursor);
        Ok(sampled)
    }
}
