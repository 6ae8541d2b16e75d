//! What a user of [`Sampler`] sees: distributions, limits, and the same bits whatever else runs.

use super::*;

fn row(vocab: usize, salt: u64) -> Vec<f32> {
    (0..vocab as u64)
        .map(|i| {
            (i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt.wrapping_mul(0x2545_f491_4f6c_dd1d))
                >> 40) as f32
        })
        .map(|bits| bits / (1 << 24) as f32 * 12.0 - 6.0)
        .collect()
}

fn draw_many(params: &SamplerParams, logits: &[f32], draws: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(params.clone(), &[], logits.len());
    let mut scratch = Scratch::default();
    (0..draws).map(|_| sampler.sample(logits, &mut scratch).unwrap().token).collect()
}

/// Pearson's statistic of the draws against the probabilities; every expected count must be at least 5.
fn chi_square(tokens: &[u32], probabilities: &[f64]) -> f64 {
    let mut counts = vec![0f64; probabilities.len()];
    for &token in tokens {
        counts[token as usize] += 1.0;
    }
    let total = tokens.len() as f64;
    let term = |(count, p): (&f64, &f64)| {
        if *p == 0.0 {
            assert_eq!(*count, 0.0, "a token outside the allowed set was drawn");
            return 0.0;
        }
        assert!(p * total >= 5.0);
        (count - p * total).powi(2) / (p * total)
    };
    counts.iter().zip(probabilities).map(term).sum()
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|&l| (f64::from(l) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

fn renormalise(probabilities: &[f64], keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let kept: Vec<f64> =
        probabilities.iter().enumerate().map(|(i, &p)| if keep(i) { p } else { 0.0 }).collect();
    let sum: f64 = kept.iter().sum();
    kept.iter().map(|p| p / sum).collect()
}

const LOGITS: [f32; 10] = [0.1, 1.3, -0.7, 2.0, 0.4, -1.5, 1.1, 0.9, -0.2, 1.6];
/// The 99.9 % quantile of chi-square with 9 degrees of freedom, an upper bound for fewer.
const LIMIT: f64 = 27.88;

#[test]
fn draws_follow_the_distribution_at_every_temperature() {
    for (seed, temperature) in [(1, 0.5), (2, 1.0), (3, 1.7)] {
        let params = SamplerParams { seed, temperature, ..SamplerParams::default() };
        let tokens = draw_many(&params, &LOGITS, 40_000);
        let statistic = chi_square(&tokens, &softmax(&LOGITS, f64::from(temperature)));
        assert!(statistic < LIMIT, "temperature {temperature}: {statistic}");
    }
}

#[test]
fn draws_follow_the_distribution_over_many_blocks() {
    let logits: Vec<f32> = row(1024, 9).iter().map(|l| l * 0.2).collect();
    let params = SamplerParams { seed: 4, ..SamplerParams::default() };
    let statistic = chi_square(&draw_many(&params, &logits, 400_000), &softmax(&logits, 1.0));
    // 1,023 degrees of freedom: mean 1,023, standard deviation 45.
    assert!((850.0..1200.0).contains(&statistic), "{statistic}");
}

#[test]
fn limits_keep_the_right_tokens_in_the_right_proportions() {
    let p = softmax(&LOGITS, 1.0);
    let cases = [
        (SamplerParams { top_k: 3, ..SamplerParams::default() }, renormalise(&p, |i| LOGITS[i] >= 1.3)),
        // 2.0, 1.6 and 1.3 hold 0.63 of the mass, with 1.1 it is 0.74.
        (SamplerParams { top_p: 0.7, ..SamplerParams::default() }, renormalise(&p, |i| LOGITS[i] >= 1.1)),
        // e^(0.9 − 2.0) = 0.333, e^(0.4 − 2.0) = 0.202
        (SamplerParams { min_p: 0.3, ..SamplerParams::default() }, renormalise(&p, |i| LOGITS[i] >= 0.9)),
        // Of the best four, the best two hold 0.69: one more passes 0.7.
        (
            SamplerParams { top_k: 4, top_p: 0.7, min_p: 0.01, ..SamplerParams::default() },
            renormalise(&p, |i| LOGITS[i] >= 1.3),
        ),
    ];
    for (seed, (params, expected)) in cases.into_iter().enumerate() {
        let params = SamplerParams { seed: seed as u64, ..params };
        let statistic = chi_square(&draw_many(&params, &LOGITS, 20_000), &expected);
        assert!(statistic < LIMIT, "{params:?}: {statistic}");
    }
}

#[test]
fn limits_that_keep_everything_change_no_probability() {
    let params =
        SamplerParams { top_k: 10, top_p: 0.999_999, min_p: 1e-6, seed: 5, ..SamplerParams::default() };
    let statistic = chi_square(&draw_many(&params, &LOGITS, 40_000), &softmax(&LOGITS, 1.0));
    assert!(statistic < LIMIT, "{statistic}");
}

#[test]
fn a_tiny_top_p_leaves_the_best_token() {
    let logits = row(49_152, 1);
    let best = Reference::argmax(&logits);
    let params = SamplerParams { top_p: 1e-9, temperature: 5.0, ..SamplerParams::default() };
    assert!(draw_many(&params, &logits, 50).iter().all(|&token| token == best));
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let mut logits = vec![0.0; 1000];
    logits[300] = 1.0;
    logits[700] = 1.0;
    let params = SamplerParams { temperature: 0.0, ..SamplerParams::default() };
    assert_eq!(draw_many(&params, &logits, 2), [300, 300]);
}

#[test]
fn greedy_comes_after_penalties_and_bias() {
    let greedy = SamplerParams { temperature: 0.0, ..SamplerParams::default() };
    let biased = SamplerParams { logit_bias: vec![(5, 9.0), (77, 1e3)], ..greedy.clone() };
    assert_eq!(draw_many(&biased, &LOGITS, 1), [5]);
    let present = SamplerParams { presence_penalty: 0.5, ..greedy.clone() };
    assert_eq!(draw_many(&present, &LOGITS, 5), [3, 9, 3, 3, 3]);
    let frequent = SamplerParams { frequency_penalty: 0.3, ..greedy.clone() };
    assert_eq!(draw_many(&frequent, &LOGITS, 4), [3, 3, 9, 3]);
    let repeated = SamplerParams { repetition_penalty: 2.0, ..greedy };
    let mut sampler = Sampler::new(repeated, &[3], LOGITS.len());
    assert_eq!(sampler.sample(&LOGITS, &mut Scratch::default()).unwrap().token, 9);
}

#[test]
fn ending_tokens_wait_for_min_tokens() {
    let params = SamplerParams {
        temperature: 0.0,
        min_tokens: 3,
        suppressed_until_min: vec![3, 9, 4000],
        logit_bias: vec![(3, 100.0)],
        ..SamplerParams::default()
    };
    assert_eq!(draw_many(&params, &LOGITS, 5), [1, 1, 1, 3, 3]);
}

#[test]
fn logprobs_are_of_the_raw_logits() {
    let params = SamplerParams {
        temperature: 0.0,
        logit_bias: vec![(5, 50.0)],
        repetition_penalty: 3.0,
        logprobs: Some(2),
        ..SamplerParams::default()
    };
    let sampled = Sampler::new(params, &[3], LOGITS.len()).sample(&LOGITS, &mut Scratch::default()).unwrap();
    let p = softmax(&LOGITS, 1.0);
    assert_eq!(sampled.token, 5);
    assert!((f64::from(sampled.logprob) - p[5].ln()).abs() < 1e-6);
    assert_eq!(sampled.top.iter().map(|t| t.0).collect::<Vec<_>>(), [3, 9]);
    assert!((f64::from(sampled.top[0].1) - p[3].ln()).abs() < 1e-6);
}

#[test]
fn poisoned_logits_fail_and_leave_the_sampler_as_it_was() {
    let params = SamplerParams { frequency_penalty: 0.1, seed: 8, ..SamplerParams::default() };
    let mut clean = Sampler::new(params.clone(), &[], LOGITS.len());
    let mut poisoned = Sampler::new(params, &[], LOGITS.len());
    let mut scratch = Scratch::default();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = LOGITS;
        logits[4] = bad;
        assert_eq!(poisoned.sample(&logits, &mut scratch), Err(NumericalError::NotFinite { token: 4 }));
    }
    let nothing = poisoned.sample(&[f32::NEG_INFINITY; 10], &mut scratch);
    assert_eq!(nothing, Err(NumericalError::NothingToSample));
    for _ in 0..20 {
        assert_eq!(clean.sample(&LOGITS, &mut scratch), poisoned.sample(&LOGITS, &mut scratch));
    }
}

#[test]
fn nothing_left_after_suppression_is_an_error() {
    let params =
        SamplerParams { min_tokens: 1, suppressed_until_min: vec![0, 1], ..SamplerParams::default() };
    let result = Sampler::new(params, &[], 2).sample(&[1.0, 2.0], &mut Scratch::default());
    assert_eq!(result, Err(NumericalError::NothingToSample));
}

#[test]
fn an_infinite_bias_is_an_error() {
    let params = SamplerParams { logit_bias: vec![(1, f32::INFINITY)], ..SamplerParams::default() };
    let result = Sampler::new(params, &[], 2).sample(&[1.0, 2.0], &mut Scratch::default());
    assert_eq!(result, Err(NumericalError::NotFinite { token: 1 }));
}

/// A spread of parameters that reaches every path.
fn varied_params() -> Vec<SamplerParams> {
    let base = SamplerParams { temperature: 1.3, logprobs: Some(3), ..SamplerParams::default() };
    vec![
        base.clone(),
        SamplerParams { temperature: 0.0, ..base.clone() },
        SamplerParams { top_k: 40, ..base.clone() },
        SamplerParams { top_k: 40, top_p: 0.9, min_p: 0.02, ..base.clone() },
        SamplerParams { top_k: 5000, ..base.clone() },
        SamplerParams { top_p: 0.95, ..base.clone() },
        SamplerParams { top_p: 0.95, min_p: 0.05, repetition_penalty: 1.2, ..base.clone() },
        SamplerParams {
            frequency_penalty: 0.4,
            presence_penalty: 0.2,
            logit_bias: vec![(7, 2.0)],
            ..base.clone()
        },
        SamplerParams { min_tokens: 9, suppressed_until_min: vec![2], logprobs: None, ..base },
    ]
}

#[test]
fn a_request_alone_or_batched_gives_the_same_bits() {
    const VOCAB: usize = 3000;
    const STEPS: usize = 16;
    let params: Vec<SamplerParams> = varied_params()
        .into_iter()
        .enumerate()
        .map(|(i, p)| SamplerParams { seed: i as u64 * 77, ..p })
        .collect();
    let logits = |request: usize, step: usize| row(VOCAB, (request * STEPS + step) as u64);
    let prompt = |request: usize| [request as u32, 2, 2, 1000];
    let alone: Vec<Vec<Sampled>> = (0..params.len())
        .map(|r| {
            let mut sampler = Sampler::new(params[r].clone(), &prompt(r), VOCAB);
            (0..STEPS).map(|s| sampler.sample(&logits(r, s), &mut Scratch::default()).unwrap()).collect()
        })
        .collect();

    let mut scratch = Scratch::default();
    let mut batch: Vec<Sampler> =
        (0..params.len()).map(|r| Sampler::new(params[r].clone(), &prompt(r), VOCAB)).collect();
    for step in 0..STEPS {
        for (request, alone) in alone.iter().enumerate().rev() {
            let together = batch[request].sample(&logits(request, step), &mut scratch).unwrap();
            assert_eq!(together, alone[step], "request {request}, step {step}");
        }
    }
}

/// Sampling by sorting everything, in double precision.
struct Reference;

impl Reference {
    fn argmax(logits: &[f32]) -> u32 {
        (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
    }

    /// The tokens that min-p, top-k and top-p leave.
    fn allowed(params: &SamplerParams, logits: &[f32]) -> Vec<u32> {
        let p = softmax(logits, f64::from(params.temperature));
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let best = p[order[0]];
        order.retain(|&i| p[i] >= best * f64::from(params.min_p));
        if params.top_k > 0 {
            order.truncate(params.top_k as usize);
        }
        let total: f64 = order.iter().map(|&i| p[i]).sum();
        let mut reached = 0.0;
        let nucleus = order.iter().position(|&i| {
            reached += p[i];
            reached >= total * f64::from(params.top_p)
        });
        order.truncate(nucleus.map_or(order.len(), |at| at + 1));
        order.into_iter().map(|i| i as u32).collect()
    }
}

#[test]
fn every_draw_is_in_the_set_that_a_full_sort_leaves() {
    for (index, params) in
        varied_params().into_iter().enumerate().filter(|(_, p)| p.repetition_penalty == 1.0)
    {
        if params.temperature == 0.0 || !params.logit_bias.is_empty() {
            continue;
        }
        for salt in 0..20 {
            let logits = row(2000, salt);
            let allowed = Reference::allowed(&params, &logits);
            let params = SamplerParams { seed: salt, suppressed_until_min: vec![], ..params.clone() };
            for token in draw_many(&params, &logits, 100) {
                assert!(
                    allowed.contains(&token),
                    "case {index}: {token} is not among {} tokens",
                    allowed.len()
                );
            }
        }
    }
}

/// The words of a mask that allows these tokens.
fn allowing(tokens: &[u32], vocab: usize) -> Vec<u32> {
    let mut words = vec![0u32; vocab.div_ceil(32)];
    for token in tokens {
        words[*token as usize / 32] |= 1 << (token % 32);
    }
    words
}

#[test]
fn allowed_tokens_are_drawn_in_their_own_proportions() {
    let probabilities = softmax(&LOGITS, 1.0);
    let words = allowing(&[1, 4, 5, 9], LOGITS.len());
    let expected = renormalise(&probabilities, |token| [1, 4, 5, 9].contains(&token));
    let mut sampler = Sampler::new(SamplerParams { seed: 6, ..Default::default() }, &[], LOGITS.len());
    let mut scratch = Scratch::default();
    let tokens: Vec<u32> = (0..40_000)
        .map(|_| sampler.sample_among(Some(&words), &LOGITS, &mut scratch).unwrap().token)
        .collect();
    let statistic = chi_square(&tokens, &expected);
    assert!(statistic < LIMIT, "{statistic}");
}

#[test]
fn nothing_brings_back_a_token_that_is_not_allowed() {
    let logits = row(300, 5);
    let allowed = [3, 31, 32, 64, 290];
    let words = allowing(&allowed, 300);
    let pulls = SamplerParams {
        logit_bias: (0..300).filter(|token| !allowed.contains(token)).map(|token| (token, 100.0)).collect(),
        repetition_penalty: 0.01,
        presence_penalty: -2.0,
        ..SamplerParams::default()
    };
    for params in [
        SamplerParams { temperature: 0.0, ..pulls.clone() },
        SamplerParams { temperature: 5.0, ..pulls.clone() },
        SamplerParams { temperature: 5.0, top_p: 0.5, ..pulls.clone() },
        SamplerParams { temperature: 5.0, top_k: 2, min_p: 0.1, ..pulls },
    ] {
        let mut sampler = Sampler::new(params, &[7, 8, 9], 300);
        let mut scratch = Scratch::default();
        for _ in 0..50 {
            let token = sampler.sample_among(Some(&words), &logits, &mut scratch).unwrap().token;
            assert!(allowed.contains(&token), "{token}");
        }
    }
    // A mask that ends early allows nothing beyond.
    let mut sampler = Sampler::new(SamplerParams::default(), &[], 300);
    let sampled = sampler.sample_among(Some(&words[..1]), &logits, &mut Scratch::default()).unwrap();
    assert!([3, 31].contains(&sampled.token));
}

#[test]
fn a_mask_leaves_the_reported_probabilities_as_they_are() {
    let logits = row(500, 8);
    let params = SamplerParams { logprobs: Some(4), temperature: 0.0, ..SamplerParams::default() };
    let words = allowing(&[17], 500);
    let mut scratch = Scratch::default();
    let among = Sampler::new(params, &[], 500).sample_among(Some(&words), &logits, &mut scratch).unwrap();
    assert_eq!(among, score(&logits, 17, 4, &mut scratch).unwrap());
}

#[test]
fn where_every_allowed_token_is_suppressed_nothing_is_sampled() {
    let params = SamplerParams { min_tokens: 2, suppressed_until_min: vec![4], ..SamplerParams::default() };
    let mut sampler = Sampler::new(params, &[], LOGITS.len());
    let words = allowing(&[4], LOGITS.len());
    let outcome = sampler.sample_among(Some(&words), &LOGITS, &mut Scratch::default());
    assert_eq!(outcome, Err(NumericalError::NothingToSample));
}
