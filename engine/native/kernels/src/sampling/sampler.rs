//! One request's sampler.

use super::logprobs::report;
use super::penalties::Penalties;
use super::philox::random_bits;
use super::reduce::{BLOCK, Reduced};
use super::truncate::draw_truncated;
use super::{NumericalError, Sampled, SamplerParams, Scratch};

/// Below this temperature sampling is greedy, as in vLLM.
const GREEDY_BELOW: f32 = 1e-5;

/// Chooses one request's tokens. Its state is a function of the parameters, the prompt and the tokens so far.
pub struct Sampler {
    params: SamplerParams,
    penalties: Penalties,
    vocab: usize,
    /// Index of the next token, from 0.
    index: u32,
}

impl Sampler {
    /// A sampler for a model with `vocab` logits per row.
    pub fn new(mut params: SamplerParams, prompt: &[u32], vocab: usize) -> Self {
        let known = |token: u32| (token as usize) < vocab;
        params.logit_bias.retain(|&(token, _)| known(token));
        params.suppressed_until_min.retain(|&token| known(token));
        let penalties = Penalties::new(&params, prompt, vocab);
        Self { params, penalties, vocab, index: 0 }
    }

    /// Chooses the next token from its row of logits.
    ///
    /// # Errors
    /// When the logits, or what bias and penalties make of them, hold NaN or +∞ or only −∞. The sampler is then
    /// unchanged.
    ///
    /// # Panics
    /// When the row is not as long as the vocabulary.
    pub fn sample(&mut self, logits: &[f32], scratch: &mut Scratch) -> Result<Sampled, NumericalError> {
        self.sample_among(None, logits, scratch)
    }

    /// As [`Sampler::sample`], of the tokens in `allowed` alone, if given: a bit for each token, from the lowest of the first
    /// word on. Tokens beyond its end are not allowed.
    ///
    /// # Errors
    /// As [`Sampler::sample`], and when every allowed token has probability 0.
    ///
    /// # Panics
    /// When the row is not as long as the vocabulary.
    pub fn sample_among(
        &mut self,
        allowed: Option<&[u32]>,
        logits: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Sampled, NumericalError> {
        assert_eq!(logits.len(), self.vocab, "a row of logits has one entry per token of the vocabulary");
        let raw_max = scratch.reduced.maximum(logits)?;
        let changes = allowed.is_some() || self.changes_logits();
        let token = if changes {
            let mut changed = std::mem::take(&mut scratch.logits);
            changed.clear();
            changed.extend_from_slice(logits);
            self.change_logits(&mut changed);
            // Last, so that nothing brings back a token that is not allowed.
            if let Some(allowed) = allowed {
                forbid_others(allowed, &mut changed);
            }
            let chosen = scratch.reduced.maximum(&changed).map(|max| self.choose(&changed, max, scratch));
            scratch.logits = changed;
            chosen?
        } else {
            self.choose(logits, raw_max, scratch)
        };
        let sampled = match self.params.logprobs {
            None => Sampled { token, logprob: 0.0, top: Vec::new() },
            Some(top_n) => {
                if top_n > 0 && changes {
                    scratch.reduced.maximum(logits)?;
                }
                report(logits, raw_max, token, top_n, &mut scratch.reduced)
            }
        };
        self.penalties.record(token);
        self.index += 1;
        Ok(sampled)
    }

    fn below_min_tokens(&self) -> bool {
        self.index < self.params.min_tokens && !self.params.suppressed_until_min.is_empty()
    }

    fn changes_logits(&self) -> bool {
        !self.params.logit_bias.is_empty() || self.below_min_tokens() || self.penalties.any()
    }

    fn change_logits(&self, logits: &mut [f32]) {
        for &(token, bias) in &self.params.logit_bias {
            logits[token as usize] += bias;
        }
        self.penalties.apply(logits);
        // Last, so that neither a bias nor a penalty brings a suppressed token back.
        if self.below_min_tokens() {
            for &token in &self.params.suppressed_until_min {
                logits[token as usize] = f32::NEG_INFINITY;
            }
        }
    }

    fn choose(&self, logits: &[f32], max: f32, scratch: &mut Scratch) -> u32 {
        let params = &self.params;
        if params.temperature < GREEDY_BELOW || params.top_k == 1 {
            return scratch.reduced.first_at(logits, max);
        }
        let scale = 1.0 / params.temperature;
        let random = random_bits(params.seed, u64::from(self.index));
        if params.top_k == 0 && params.top_p >= 1.0 && params.min_p <= 0.0 {
            draw_any(logits, max, scale, random, &mut scratch.reduced)
        } else {
            draw_truncated(params, logits, max, scale, random, scratch)
        }
    }
}

/// Gives every token that is not allowed probability 0.
fn forbid_others(allowed: &[u32], logits: &mut [f32]) {
    let mut words = allowed.iter();
    for logits in logits.chunks_mut(u32::BITS as usize) {
        match words.next().copied().unwrap_or(0) {
            u32::MAX => {}
            0 => logits.fill(f32::NEG_INFINITY),
            word => {
                for (bit, logit) in logits.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// Draws from all tokens: finds the block by the sums of blocks, then the token within it.
fn draw_any(logits: &[f32], max: f32, scale: f32, random: u64, reduced: &mut Reduced) -> u32 {
    let sum = reduced.sum_of_weights(logits, max, scale);
    // 53 bits, uniform in [0, 1).
    let mut left = (random >> 11) as f64 * (1.0 / (1u64 << 53) as f64) * sum;
    let mut last = 0;
    for (index, (weights, &block_sum)) in reduced.weights.chunks(BLOCK).zip(&reduced.block_sum).enumerate() {
        if left >= block_sum {
            left -= block_sum;
            // Rounding may run past the end of the row or of a block; the last token that has weight is then it.
            if block_sum > 0.0 {
                last = index;
            }
            continue;
        }
        return (index * BLOCK + draw_within(weights, left)) as u32;
    }
    let start = last * BLOCK;
    (start + draw_within(&reduced.weights[start..logits.len().min(start + BLOCK)], f64::INFINITY)) as u32
}

/// The index at which the running sum passes `left`, or the last one with weight.
fn draw_within(weights: &[f32], mut left: f64) -> usize {
    let mut last = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = index;
            if left < f64::from(weight) {
                break;
            }
            left -= f64::from(weight);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_without_weight_are_never_drawn() {
        let mut reduced = Reduced::default();
        let mut logits = vec![f32::NEG_INFINITY; 300];
        logits[150] = 0.0;
        logits[160] = -1.0;
        reduced.maximum(&logits).unwrap();
        assert_eq!(draw_any(&logits, 0.0, 1.0, 0, &mut reduced), 150);
        assert_eq!(draw_any(&logits, 0.0, 1.0, u64::MAX, &mut reduced), 160);
        assert_eq!(draw_within(&[0.0, 1.0, 0.0], f64::INFINITY), 1);
    }
}
