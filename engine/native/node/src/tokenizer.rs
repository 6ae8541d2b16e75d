//! Tokenizing for JavaScript: the `tokenizers` crate, one call each.

use std::sync::Arc;

use napi::bindgen_prelude::{Buffer, Error, Result, Status, Uint8Array, Uint32Array};
use napi_derive::napi;
use tokenizers::{Decoder, DecoderWrapper};

/// A token that the tokenizer finds in a text before anything else, as `<|im_end|>`.
#[napi(object)]
pub struct ControlToken {
    pub id: u32,
    pub content: String,
    /// Left out of decoded text on request.
    pub special: bool,
}

/// How a token of the model's own vocabulary stands for bytes.
#[derive(Clone, Copy, PartialEq)]
enum ByteStyle {
    /// Each character stands for one byte, as in GPT-2.
    ByteLevel,
    /// Tokens are text, and `<0x0A>` is the byte 10, as in SentencePiece.
    ByteFallback,
    /// Tokens are text.
    None,
}

/// What tokens stand for.
#[derive(Clone)]
pub struct TokenBytes {
    inner: Arc<tokenizers::Tokenizer>,
    style: ByteStyle,
}

#[napi]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    style: ByteStyle,
    vocab_size: u32,
    longest_token_bytes: u32,
}

#[napi]
impl Tokenizer {
    /// Reads the contents of a `tokenizer.json`. Its padding and truncation are ignored: a prompt is never cut.
    #[napi(constructor)]
    pub fn new(tokenizer_json: Uint8Array) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(&tokenizer_json).map_err(|error| {
            Error::new(Status::InvalidArg, format!("tokenizer.json cannot be read: {error}"))
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(to_js_error)?;
        let style = inner.get_decoder().map_or(ByteStyle::None, byte_style);
        let highest_added = inner.get_added_vocabulary().get_vocab().values().max().map_or(0, |&id| id + 1);
        // The model's own ids may have gaps, so their count is only a lower bound of the highest.
        let highest = inner.get_vocab(false).values().max().map_or(0, |&id| id + 1);
        let longest_token_bytes = inner.get_vocab(true).keys().map(String::len).max().unwrap_or(0) as u32;
        Ok(Self {
            inner: Arc::new(inner),
            style,
            vocab_size: highest.max(highest_added),
            longest_token_bytes,
        })
    }

    /// One more than the highest token id.
    #[napi(getter)]
    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }

    /// No token stands for more bytes of a text than this.
    #[napi(getter)]
    pub fn longest_token_bytes(&self) -> u32 {
        self.longest_token_bytes
    }

    /// Token ids of a text; with `addSpecialTokens` what the tokenizer puts around every text, such as a
    /// beginning-of-sequence token. Control tokens written in the text are found either way.
    #[napi]
    pub fn encode(&self, text: String, add_special_tokens: bool) -> Result<Uint32Array> {
        let encoding = self.inner.encode_fast(text, add_special_tokens).map_err(to_js_error)?;
        Ok(Uint32Array::new(encoding.get_ids().to_vec()))
    }

    /// The text of token ids. Ids that are no token are skipped; bytes that are no character become U+FFFD.
    #[napi]
    pub fn decode(&self, ids: Uint32Array, skip_special_tokens: bool) -> Result<String> {
        self.inner.decode(&ids, skip_special_tokens).map_err(to_js_error)
    }

    /// The exact bytes that a token adds in the middle of a text; empty where the id is no token. For byte-level
    /// tokenizers that is the token's share in what `decode` makes characters of.
    #[napi]
    pub fn token_bytes(&self, id: u32) -> Result<Buffer> {
        Ok(self.bytes().of(id)?.into())
    }

    /// The tokens that are found in a text before anything else, in order of their ids.
    #[napi]
    pub fn control_tokens(&self) -> Vec<ControlToken> {
        let added = self.inner.get_added_tokens_decoder();
        let mut tokens: Vec<_> = added
            .into_iter()
            .map(|(id, token)| ControlToken { id, content: token.content, special: token.special })
            .collect();
        tokens.sort_unstable_by_key(|token| token.id);
        tokens
    }
}

impl Tokenizer {
    pub fn bytes(&self) -> TokenBytes {
        TokenBytes { inner: self.inner.clone(), style: self.style }
    }
}

impl TokenBytes {
    /// A token as the tokenizer's file spells it.
    pub fn name(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The exact bytes that a token adds in the middle of a text; empty where the id is no token.
    pub fn of(&self, id: u32) -> Result<Vec<u8>> {
        let Some(token) = self.inner.id_to_token(id) else { return Ok(Vec::new()) };
        let bytes = match self.style {
            ByteStyle::ByteLevel => byte_level_bytes(&token),
            ByteStyle::ByteFallback => byte_fallback(&token).map(|byte| vec![byte]),
            ByteStyle::None => None,
        };
        match bytes {
            Some(bytes) => Ok(bytes),
            None => Ok(self.text_within(token)?.into_bytes()),
        }
    }

    /// The text of a token after another one: at the start of a text, decoders strip spaces.
    fn text_within(&self, token: String) -> Result<String> {
        let Some(decoder) = self.inner.get_decoder() else { return Ok(token) };
        let before = decoder.decode(vec!["x".into()]).map_err(to_js_error)?;
        let both = decoder.decode(vec!["x".into(), token]).map_err(to_js_error)?;
        Ok(both.strip_prefix(&before).unwrap_or(&both).to_owned())
    }
}

fn to_js_error(error: tokenizers::Error) -> Error {
    Error::from_reason(error.to_string())
}

fn byte_style(decoder: &DecoderWrapper) -> ByteStyle {
    match decoder {
        DecoderWrapper::ByteLevel(_) => ByteStyle::ByteLevel,
        DecoderWrapper::ByteFallback(_) => ByteStyle::ByteFallback,
        DecoderWrapper::Sequence(sequence) => {
            let styles = sequence.get_decoders().iter().map(byte_style);
            styles.into_iter().find(|&style| style != ByteStyle::None).unwrap_or(ByteStyle::None)
        }
        _ => ByteStyle::None,
    }
}

/// The byte of a token `<0x0A>`.
fn byte_fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's spelling: printable Latin-1 stands for itself, the 68 other bytes in order for U+0100 and up.
fn byte_level_bytes(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of_char).collect()
}

fn byte_of_char(character: char) -> Option<u8> {
    match character as u32 {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x143 => Some(match code as u8 {
            n @ 0..=0x20 => n,
            n @ 0x21..=0x42 => n - 0x21 + 0x7f,
            _ => 0xad,
        }),
        _ => None,
    }
}
