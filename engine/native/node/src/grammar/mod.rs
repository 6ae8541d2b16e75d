//! Grammars for JavaScript, and the masks that samplers get from them: `polylora-grammar`, one call each.

mod chooser;
mod masks;

pub use chooser::{Chooser, Unchosen};
pub use masks::{MaskStats, Masks};

use std::sync::{Arc, Mutex};

use napi::Task;
use napi::bindgen_prelude::{AsyncTask, Either, Env, Error, Result};
use napi_derive::napi;
use polylora_grammar::{Compiler, Cursor, Grammar, Refused, Source, Token, Vocabulary};

use crate::tokenizer::Tokenizer;

/// What concerns grammars of a model and its tokenizer.
#[napi(object)]
pub struct GrammarTokens {
    /// Entries in a row of logits.
    pub vocab_size: u32,
    /// Tokens that mean something else than their text: none of them is text.
    pub control: Vec<u32>,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
}

/// A grammar as a client wrote it.
#[napi(object)]
pub struct GrammarSource {
    #[napi(ts_type = "'json_schema' | 'json_object' | 'regex' | 'choice' | 'lark'")]
    pub kind: String,
    /// Of all but `choice` and `json_object`.
    pub text: Option<String>,
    pub choices: Option<Vec<String>>,
    /// Whether what of a schema cannot be enforced is passed over.
    pub lenient: Option<bool>,
}

/// Why a grammar was not compiled.
#[napi(object)]
pub struct GrammarRefusal {
    /// A JSON pointer into the schema; empty for the whole.
    pub place: String,
    pub message: String,
}

/// Compiles grammars for one model.
#[napi(js_name = "GrammarCompiler")]
pub struct JsCompiler {
    inner: Arc<Compiler>,
}

#[napi]
impl JsCompiler {
    #[napi(constructor)]
    pub fn new(tokenizer: &Tokenizer, tokens: GrammarTokens) -> Self {
        let bytes = tokenizer.bytes();
        let vocabulary = move || {
            let token = |id: u32| match tokens.control.binary_search(&id) {
                Ok(_) => Token::Control(bytes.name(id).unwrap_or_default()),
                // An id that the tokenizer cannot spell is never chosen.
                Err(_) => Token::Text(bytes.of(id).unwrap_or_default()),
            };
            Vocabulary::new((0..tokens.vocab_size).map(token), &tokens.ends)
        };
        Self { inner: Arc::new(Compiler::new(vocabulary)) }
    }

    /// Off the JavaScript thread. `tokens.control` was in ascending order.
    #[napi(ts_return_type = "Promise<Grammar | GrammarRefusal>")]
    pub fn compile(&self, source: GrammarSource) -> Result<AsyncTask<CompileTask>> {
        let text = source.text.unwrap_or_default();
        let source = match source.kind.as_str() {
            "json_schema" => Source::JsonSchema { schema: text, lenient: source.lenient.unwrap_or(false) },
            "json_object" => Source::JsonObject,
            "regex" => Source::Regex(text),
            "choice" => Source::Choice(source.choices.unwrap_or_default()),
            "lark" => Source::Lark(text),
            other => return Err(Error::from_reason(format!("there are no grammars of kind {other}"))),
        };
        Ok(AsyncTask::new(CompileTask { compiler: self.inner.clone(), source }))
    }
}

pub struct CompileTask {
    compiler: Arc<Compiler>,
    source: Source,
}

impl Task for CompileTask {
    type Output = std::result::Result<Grammar, Refused>;
    type JsValue = Either<JsGrammar, GrammarRefusal>;

    fn compute(&mut self) -> Result<Self::Output> {
        Ok(self.compiler.compile(&self.source))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(match output {
            Ok(grammar) => Either::A(JsGrammar { inner: Mutex::new(Some(Arc::new(grammar))) }),
            Err(Refused { place, message }) => Either::B(GrammarRefusal { place, message }),
        })
    }
}

/// A compiled grammar.
#[napi(js_name = "Grammar")]
pub struct JsGrammar {
    inner: Mutex<Option<Arc<Grammar>>>,
}

#[napi]
impl JsGrammar {
    /// About how much memory it takes.
    #[napi(getter)]
    pub fn bytes(&self) -> f64 {
        self.inner.lock().expect("no one panicked").as_ref().map_or(0.0, |grammar| grammar.bytes() as f64)
    }

    /// Where an answer begins, for one sampler. Off the JavaScript thread: what is compiled is copied.
    #[napi(ts_return_type = "Promise<GrammarCursor>")]
    pub fn begin(&self) -> Result<AsyncTask<BeginTask>> {
        let grammar = self.inner.lock().expect("no one panicked").clone();
        let grammar = grammar.ok_or_else(|| Error::from_reason("the grammar was released"))?;
        Ok(AsyncTask::new(BeginTask(grammar)))
    }

    /// Gives its memory back, without waiting for the garbage collector.
    #[napi]
    pub fn release(&self) {
        *self.inner.lock().expect("no one panicked") = None;
    }
}

pub struct BeginTask(Arc<Grammar>);

impl Task for BeginTask {
    type Output = Cursor;
    type JsValue = JsCursor;

    fn compute(&mut self) -> Result<Cursor> {
        let mut cursor = self.0.begin();
        // A failure shows when the first token is chosen.
        let _ = cursor.mask();
        Ok(cursor)
    }

    fn resolve(&mut self, _: Env, cursor: Cursor) -> Result<JsCursor> {
        Ok(JsCursor(Mutex::new(Some(cursor))))
    }
}

/// An answer's place in a grammar, until a sampler takes it.
#[napi(js_name = "GrammarCursor")]
pub struct JsCursor(Mutex<Option<Cursor>>);

impl JsCursor {
    pub fn take(&self) -> Result<Cursor> {
        let cursor = self.0.lock().expect("no one panicked").take();
        cursor.ok_or_else(|| Error::from_reason("another sampler has it"))
    }
}
