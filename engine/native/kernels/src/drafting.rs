//! Foretells a sequence's next tokens from those it has already (prompt lookup decoding, Saxena 2023): where the last
//! few tokens occurred before, what followed them may follow again. A wrong guess costs time and changes nothing.

/// The shortest match that foretells anything.
pub const SHORTEST_MATCH: usize = 2;
/// Matches are not told apart beyond this length.
pub const LONGEST_MATCH: usize = 9;
/// Places that are compared before the longest of them is taken.
const MOST_PLACES: usize = 16;
/// Where a chain of places ends.
const NONE: u32 = u32::MAX;

/// A place before where the sequence's last tokens occurred too.
#[derive(Clone, Copy)]
struct Match {
    /// Of the token that followed.
    next: usize,
    /// Tokens that agree before it.
    length: usize,
}

/// A sequence's tokens, and where each pair of them occurred: hash chains as in LZ77, so that a token takes constant time
/// and at most twenty bytes.
pub struct Drafter {
    tokens: Vec<u32>,
    /// For the hash of a pair, the place after its latest occurrence; a power of two of them.
    latest: Vec<u32>,
    /// For each place, the one before with the same hash.
    earlier: Vec<u32>,
    /// The place that foretells the next token.
    found: Option<Match>,
}

impl Drafter {
    /// Only copies the prompt; it is indexed when the first token comes.
    pub fn new(prompt: &[u32]) -> Self {
        Self { tokens: prompt.to_vec(), latest: Vec::new(), earlier: Vec::new(), found: None }
    }

    /// How many of the last tokens the place agrees with that foretells the next one, up to [`LONGEST_MATCH`]; 0: there is none.
    pub fn matched(&self) -> usize {
        self.found.map_or(0, |found| found.length)
    }

    /// The next `most` tokens as foretold; none without a match.
    pub fn draft(&self, most: usize) -> Vec<u32> {
        let Some(Match { next, .. }) = self.found else { return Vec::new() };
        let period = self.tokens.len() - next;
        // What follows may reach the end and so go on with itself.
        (0..most).map(|index| self.tokens[next + index % period]).collect()
    }

    /// Takes the next token as it is. Returns the length of the match that foretold it, negative where that was another token;
    /// 0: nothing was foretold.
    pub fn push(&mut self, token: u32) -> i32 {
        let length = self.matched() as i32;
        let foretold = self.found.is_some_and(|found| self.tokens[found.next] == token);
        self.tokens.push(token);
        if foretold {
            // The longest match that goes on is the longest still.
            self.found = self.found.map(|Match { next, length }| Match {
                next: next + 1,
                length: LONGEST_MATCH.min(length + 1),
            });
            self.index();
            return length;
        }
        self.index();
        self.found = self.find();
        -length
    }

    /// Enters every place that has two tokens before it, but for the end, where nothing followed yet.
    fn index(&mut self) {
        let length = self.tokens.len();
        if self.latest.len() < length {
            self.latest = vec![NONE; (2 * length).next_power_of_two()];
            self.earlier.clear();
        }
        for place in self.earlier.len()..length {
            if place < SHORTEST_MATCH {
                self.earlier.push(NONE);
                continue;
            }
            let latest = self.slot(place);
            self.earlier.push(std::mem::replace(&mut self.latest[latest], place as u32));
        }
    }

    /// Where the pair before a place is looked up.
    fn slot(&self, place: usize) -> usize {
        let pair = u64::from(self.tokens[place - 2]) << 32 | u64::from(self.tokens[place - 1]);
        // Fibonacci hashing: the product's high bits.
        (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.latest.len().trailing_zeros())) as usize
    }

    /// The place that agrees longest with the end, of equals the latest.
    fn find(&self) -> Option<Match> {
        let end = self.tokens.len();
        if end < SHORTEST_MATCH {
            return None;
        }
        let mut best: Option<Match> = None;
        let mut place = self.latest[self.slot(end)];
        for _ in 0..MOST_PLACES {
            if place == NONE {
                break;
            }
            let next = place as usize;
            let length = self.agreement(next);
            if length >= SHORTEST_MATCH && best.is_none_or(|best| length > best.length) {
                best = Some(Match { next, length });
                if length == LONGEST_MATCH {
                    break;
                }
            }
            place = self.earlier[next];
        }
        best
    }

    /// How many tokens before a place are those at the end, up to [`LONGEST_MATCH`].
    fn agreement(&self, place: usize) -> usize {
        let [before, end] = [&self.tokens[..place], &self.tokens[..]];
        let pairs = before.iter().rev().zip(end.iter().rev());
        pairs.take(LONGEST_MATCH).take_while(|(a, b)| a == b).count()
    }
}

/// Lengths of matches that are told apart.
const LENGTHS: usize = LONGEST_MATCH - SHORTEST_MATCH + 1;

/// How many tokens may be drafted in a step.
pub struct DraftLimits {
    /// `[sequence][length of the match]`
    after: Vec<u32>,
    /// Over all sequences in a step.
    pub most: usize,
}

impl DraftLimits {
    pub fn new(after: &[u32], most: u32) -> Self {
        Self { after: after.to_vec(), most: most as usize }
    }

    /// How many tokens may be drafted for a sequence after a match of this length.
    pub fn after(&self, sequence: usize, matched: usize) -> usize {
        let Some(length) = matched.min(LONGEST_MATCH).checked_sub(SHORTEST_MATCH) else { return 0 };
        self.after.get(sequence * LENGTHS + length).map_or(0, |most| *most as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(tokens: &[u32]) -> Drafter {
        let (last, prompt) = tokens.split_last().expect("some tokens");
        let mut drafter = Drafter::new(prompt);
        assert_eq!(drafter.push(*last), 0);
        drafter
    }

    #[test]
    fn the_longest_match_foretells_what_followed_it() {
        let drafter = after(&[1, 2, 3, 40, 9, 2, 3, 50, 7, 1, 2, 3]);
        assert_eq!((drafter.matched(), drafter.draft(3)), (3, vec![40, 9, 2]));
    }

    #[test]
    fn of_equally_long_matches_the_latest_is_taken() {
        let drafter = after(&[2, 3, 40, 8, 2, 3, 50, 9, 2, 3]);
        assert_eq!((drafter.matched(), drafter.draft(2)), (2, vec![50, 9]));
    }

    #[test]
    fn one_token_alone_foretells_nothing() {
        let drafter = after(&[5, 6, 7, 5]);
        assert_eq!((drafter.matched(), drafter.draft(4)), (0, vec![]));
        assert_eq!(after(&[5]).draft(4), []);
        assert_eq!(Drafter::new(&[1, 2, 1, 2]).draft(4), []);
    }

    #[test]
    fn what_repeats_goes_on_repeating() {
        let drafter = after(&[1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!((drafter.matched(), drafter.draft(7)), (5, vec![3, 1, 2, 3, 1, 2, 3]));
        assert_eq!(after(&[4, 4, 4]).draft(3), [4, 4, 4]);
    }

    #[test]
    fn a_match_grows_while_it_holds_and_is_looked_for_anew_when_it_fails() {
        let mut drafter = after(&[1, 2, 3, 4, 5, 6, 9, 5, 6, 8, 1, 2]);
        assert_eq!([3, 4, 5, 6].map(|token| drafter.push(token)), [2, 3, 4, 5]);
        assert_eq!((drafter.matched(), drafter.draft(1)), (6, vec![9]));
        assert_eq!(drafter.push(7), -6);
        assert_eq!((drafter.matched(), drafter.push(7)), (0, 0));
    }

    #[test]
    fn it_agrees_with_a_search_of_everything() {
        let mut state = 7u32;
        let mut tokens = Vec::new();
        let mut drafter = Drafter::new(&[]);
        for step in 0..3000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Many tokens, so that no pair has more places than are looked at; now and then a copy.
            let copy = tokens.len() > 80 && step % 50 < 25;
            let token = if copy { tokens[tokens.len() - 77] } else { (state >> 8) % 1000 };
            let expected = drafter.draft(1).first() == Some(&token);
            let length = drafter.matched() as i32;
            assert_eq!(drafter.push(token), if expected { length } else { -length });
            tokens.push(token);
            let agreement = |place: usize| {
                tokens[..place].iter().rev().zip(tokens.iter().rev()).take_while(|(a, b)| a == b).count()
            };
            let longest = (2..tokens.len()).map(agreement).max().unwrap_or(0).min(LONGEST_MATCH);
            let longest = if longest < SHORTEST_MATCH { 0 } else { longest };
            assert_eq!(drafter.matched(), longest, "after {step} tokens");
        }
    }

    #[test]
    fn a_match_of_each_length_has_its_own_limit() {
        let after: Vec<u32> = (0..2 * LENGTHS as u32).collect();
        let limits = DraftLimits::new(&after, 3);
        assert_eq!([0, 1, 2, 9, 50].map(|matched| limits.after(0, matched)), [0, 0, 0, 7, 7]);
        assert_eq!([0, 2, 3, 9].map(|matched| limits.after(1, matched)), [0, 8, 9, 15]);
        assert_eq!(DraftLimits::new(&[], 3).after(0, 9), 0);
    }
}
