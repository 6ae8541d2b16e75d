//! Which tokens a request has seen, and what that does to their logits.

use super::SamplerParams;

struct Seen {
    token: u32,
    in_prompt: bool,
    generated: u32,
}

/// The distinct tokens of a request, in order of their ids; empty where no penalty needs them.
pub struct Penalties {
    seen: Vec<Seen>,
    repetition: f32,
    frequency: f32,
    presence: f32,
}

impl Penalties {
    pub fn new(params: &SamplerParams, prompt: &[u32], vocab: usize) -> Self {
        let mut penalties = Self {
            seen: Vec::new(),
            repetition: params.repetition_penalty,
            frequency: params.frequency_penalty,
            presence: params.presence_penalty,
        };
        // Only the repetition penalty looks at the prompt.
        if penalties.repetition != 1.0 {
            let mut tokens: Vec<u32> =
                prompt.iter().copied().filter(|&token| (token as usize) < vocab).collect();
            tokens.sort_unstable();
            tokens.dedup();
            penalties.seen =
                tokens.into_iter().map(|token| Seen { token, in_prompt: true, generated: 0 }).collect();
        }
        penalties
    }

    pub fn any(&self) -> bool {
        self.repetition != 1.0 || self.frequency != 0.0 || self.presence != 0.0
    }

    /// Counts a generated token.
    pub fn record(&mut self, token: u32) {
        if !self.any() {
            return;
        }
        match self.seen.binary_search_by_key(&token, |seen| seen.token) {
            Ok(at) => self.seen[at].generated += 1,
            Err(at) => self.seen.insert(at, Seen { token, in_prompt: false, generated: 1 }),
        }
    }

    pub fn apply(&self, logits: &mut [f32]) {
        for seen in &self.seen {
            let logit = &mut logits[seen.token as usize];
            if seen.in_prompt || seen.generated > 0 {
                *logit = if *logit > 0.0 { *logit / self.repetition } else { *logit * self.repetition };
            }
            if seen.generated > 0 {
                *logit -= self.frequency * seen.generated as f32;
                *logit -= self.presence;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_covers_the_prompt_and_the_others_do_not() {
        let params = SamplerParams {
            repetition_penalty: 2.0,
            frequency_penalty: 0.5,
            presence_penalty: 0.25,
            ..SamplerParams::default()
        };
        let mut penalties = Penalties::new(&params, &[1, 1, 3, 900], 6);
        penalties.record(3);
        penalties.record(4);
        penalties.record(4);
        let mut logits = [1.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        penalties.apply(&mut logits);
        assert_eq!(logits, [1.0, 0.5, 1.0, -2.75, -0.75, 1.0]);
    }

    #[test]
    fn without_penalties_nothing_is_kept() {
        let mut penalties = Penalties::new(&SamplerParams::default(), &[1, 2], 4);
        penalties.record(3);
        assert!(penalties.seen.is_empty() && !penalties.any());
    }
}
