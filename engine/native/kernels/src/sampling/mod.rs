//! From a row of logits to a token, with vLLM's semantics.
//!
//! In this order: logit bias, repetition penalty (prompt and generated tokens), frequency and presence penalties
//! (generated tokens), suppressed tokens, tokens that are not among the allowed ones, temperature, min-p, top-k, top-p,
//! then one draw. Reported log-probabilities are of the raw logits, before all of that.
//!
//! A token depends on its request's logits, parameters, prompt and earlier tokens and on nothing else: the random
//! number of token `i` is a function of (seed, i), and every sum has one fixed order, whatever the instruction set.

mod logprobs;
mod penalties;
mod philox;
mod reduce;
mod sampler;
mod truncate;

#[cfg(test)]
mod tests;

pub use logprobs::score;
pub(crate) use philox::random_bits;
pub use sampler::Sampler;

use std::fmt;

/// How one request's tokens are chosen. Token ids outside the vocabulary are ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerParams {
    /// Below 1e-5 the token with the highest logit is taken; of equals the lowest id.
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep this many tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Subtracted from the logit of every token generated before.
    pub presence_penalty: f32,
    /// Subtracted once for each time the token was generated before.
    pub frequency_penalty: f32,
    /// Divides positive and multiplies negative logits of tokens in the prompt or generated before; 1 does nothing.
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u64,
    /// No token of `suppressed_until_min` is chosen before this many others.
    pub min_tokens: u32,
    /// The tokens that end a sequence.
    pub suppressed_until_min: Vec<u32>,
    /// How many alternatives to report beside the chosen token; `None`: no log-probabilities at all.
    pub logprobs: Option<u32>,
}

impl Default for SamplerParams {
    /// Draws from the model's own distribution.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
            seed: 0,
            min_tokens: 0,
            suppressed_until_min: Vec::new(),
            logprobs: None,
        }
    }
}

/// A chosen or scored token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    pub token: u32,
    /// Natural logarithm of the token's probability under the raw logits; 0 where none was asked for.
    pub logprob: f32,
    /// The most probable tokens and their log-probabilities, best first, of equals the lowest id first.
    pub top: Vec<(u32, f32)>,
}

/// The logits of one row cannot be sampled from. It concerns that row's request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericalError {
    /// The model gave NaN or +∞, or a bias or penalty made one.
    NotFinite { token: u32 },
    /// Every token has probability 0.
    NothingToSample,
}

impl fmt::Display for NumericalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { token } => write!(f, "the logit of token {token} is not a number or infinite"),
            Self::NothingToSample => f.write_str("no token has a probability above 0"),
        }
    }
}

impl std::error::Error for NumericalError {}

/// Buffers that samplers share to avoid allocation; what they held before never changes a result.
#[derive(Default)]
pub struct Scratch {
    logits: Vec<f32>,
    reduced: reduce::Reduced,
    kept: Vec<truncate::Candidate>,
    ranked: Vec<truncate::Candidate>,
}
