//! Grammars, compiled, within bounds.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;

use crate::cursor::Cursor;
use crate::{Refused, Source, Vocabulary, schema, source};

/// Compiling recurses; only what is touched of this is ever taken.
const STACK_BYTES: usize = 256 << 20;

/// What a byte of a source becomes in rules and symbols, besides the lexer: measured, and rounded up.
const SYMBOL_BYTES: usize = 40;
/// How long the place of a mistake is looked for.
const LONGEST_SEARCH: Duration = Duration::from_millis(200);

/// llguidance's own bounds, the last of them much lower: each state of a lexer takes 1 to 2 kB.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// Makes grammars for one model.
pub struct Compiler {
    vocabulary: Box<dyn Fn() -> Vocabulary + Send + Sync>,
    factory: OnceLock<Option<ParserFactory>>,
}

impl Compiler {
    /// The vocabulary is asked for when the first grammar is compiled: it takes tens of megabytes and a fifth of a second.
    pub fn new(vocabulary: impl Fn() -> Vocabulary + Send + Sync + 'static) -> Self {
        Self { vocabulary: Box::new(vocabulary), factory: OnceLock::new() }
    }

    /// Compiles a grammar in a thread of its own.
    ///
    /// # Errors
    /// When the source is wrong, asks for what cannot be enforced, or is too large or too complex.
    pub fn compile(&self, source: &Source) -> Result<Grammar, Refused> {
        thread::scope(|scope| {
            let work = || self.compile_here(source);
            let thread = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
            let compiling = thread
                .spawn_scoped(scope, work)
                .map_err(|error| Refused::new("", format!("no thread to compile it in: {error}")))?;
            compiling.join().unwrap_or_else(|_| Err(Refused::new("", "it cannot be compiled")))
        })
    }

    fn compile_here(&self, source: &Source) -> Result<Grammar, Refused> {
        let Some(factory) = self.factory() else {
            return Err(Refused::new(
                "",
                "the model has no token that ends an answer, so no answer can be given a form",
            ));
        };
        match source {
            Source::JsonSchema { schema, lenient } => {
                let schema = source::read_schema(schema)?;
                schema::check(&schema, *lenient)?;
                let compile =
                    |schema: &Value| compile_with(factory, source::json_schema(schema.clone(), *lenient));
                compile(&schema).map_err(|error| locate(&schema, error, compile))
            }
            other => compile_with(factory, other.grammar()?),
        }
    }

    fn factory(&self) -> Option<&ParserFactory> {
        let make = || {
            let vocabulary = (self.vocabulary)();
            if !vocabulary.has_end() {
                return None;
            }
            let slices = llguidance::earley::SlicedBiasComputer::general_slices();
            let capabilities = InferenceCapabilities::default();
            let mut factory = ParserFactory::new(vocabulary.environment(), capabilities, &slices)
                .expect("the slices are patterns");
            factory.quiet();
            *factory.limits_mut() = limits();
            Some(factory)
        };
        self.factory.get_or_init(make).as_ref()
    }
}

fn compile_with(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Grammar, Refused> {
    let source_bytes: usize = grammar.grammars.iter().map(source_bytes).sum();
    let parser = factory.create_parser(grammar).map_err(Refused::of)?;
    let bytes = SYMBOL_BYTES * source_bytes + parser.parser.lexer_stats().num_bytes;
    let mut matcher = Matcher::new(Ok(parser));
    // The first mask is everyone's, and some mistakes show only here.
    matcher.compute_mask_or_eos().map_err(Refused::of)?;
    Ok(Grammar { pristine: matcher, bytes })
}

fn source_bytes(grammar: &GrammarWithLexer) -> usize {
    let schema = grammar.json_schema.as_ref().map_or(0, |schema| schema.to_string().len());
    schema + grammar.lark_grammar.as_ref().map_or(0, String::len)
}

/// Finds the innermost part of a schema that cannot be compiled by itself.
fn locate(schema: &Value, error: Refused, compile: impl Fn(&Value) -> Result<Grammar, Refused>) -> Refused {
    let deadline = Instant::now() + LONGEST_SEARCH;
    let mut found = error;
    let mut inner = schema;
    // What parts refer to is as exact as it was where it belongs: else they fail for what is no fault there.
    let mut whole = schema.clone();
    schema::make_exact(&mut whole);
    'deeper: loop {
        for (place, part) in schema::parts(inner) {
            if Instant::now() > deadline {
                return found;
            }
            // `false` allows nothing by itself, and is a fault nowhere by itself.
            if part.is_boolean() {
                continue;
            }
            if let Err(error) = compile(&schema::alone(part, &whole)) {
                found = Refused::new(format!("{}{place}", found.place), error.message);
                inner = part;
                continue 'deeper;
            }
        }
        return found;
    }
}

/// A compiled grammar.
pub struct Grammar {
    pristine: Matcher,
    bytes: usize,
}

impl Grammar {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where an answer begins. It shares nothing with others, so what it allows depends on its own tokens alone.
    pub fn begin(&self) -> Cursor {
        Cursor::new(self.pristine.deep_clone())
    }
}
