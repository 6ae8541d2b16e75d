//! The model's tokens as grammars see them.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// What a token id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The bytes it adds to a text; without any it is never chosen.
    Text(Vec<u8>),
    /// It means something else than its text, as `<|im_end|>`: only a grammar that names it lets it through.
    Control(String),
}

/// A model's tokens, by their ids.
pub struct Vocabulary {
    environment: TokEnv,
}

impl Vocabulary {
    /// `tokens` has one entry for each logit; `ends` are the tokens that end an answer.
    pub fn new(tokens: impl IntoIterator<Item = Token>, ends: &[u32]) -> Self {
        let marked = |text: &str| [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat();
        let mut words: Vec<Vec<u8>> = tokens
            .into_iter()
            .map(|token| match token {
                // No text has this byte, so no rule for text matches it.
                Token::Text(bytes) if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) && bytes.len() > 1 => {
                    Vec::new()
                }
                Token::Text(bytes) => bytes,
                Token::Control(content) => marked(&content),
            })
            .collect();
        let ends: Vec<TokenId> = ends.iter().copied().filter(|&id| (id as usize) < words.len()).collect();
        for &id in &ends {
            if words[id as usize].first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
                words[id as usize] = marked(&format!("<end-{id}>"));
            }
        }
        let first_end = ends.first().copied().unwrap_or(INVALID_TOKEN);
        let mut trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first_end), &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        Self { environment: Arc::new(Environment(trie)) }
    }

    /// Whether an answer can end by itself.
    pub fn has_end(&self) -> bool {
        self.environment.tok_trie().eos_token() != INVALID_TOKEN
    }

    pub(crate) fn environment(&self) -> &TokEnv {
        &self.environment
    }
}

struct Environment(TokTrie);

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(text)
    }

    /// Text that a grammar leaves no choice about may be written with any tokens: the model knows best which.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
