//! What a grammar is written as.

use llguidance::api::TopLevelGrammar;
use llguidance::regex_to_lark;
use serde_json::{Value, json};

use crate::{Refused, schema};

/// The longest schema, pattern or grammar, in bytes.
pub const LONGEST: usize = 256 * 1024;
/// How deep a grammar may nest brackets: its parser recurses.
const DEEPEST: usize = 200;
/// What a schema in a grammar in Lark follows.
const INLINE_SCHEMA: &str = "%json";
/// Between two parts of a JSON text: nothing, a space, or a new line and its indentation. Bounded, so that a model cannot
/// spend its whole answer on white space.
const WHITESPACE: &str = r"\x20|\n[\x20\x09]{0,40}";

/// What an answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A JSON text that the schema allows. What of a schema cannot be enforced is an error, unless it is `lenient`.
    JsonSchema { schema: String, lenient: bool },
    /// Any JSON object.
    JsonObject,
    /// A text that the whole of the pattern matches, in the syntax of Rust's `regex`.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llguidance's dialect of Lark.
    Lark(String),
}

impl Source {
    pub(crate) fn grammar(&self) -> Result<TopLevelGrammar, Refused> {
        match self {
            Self::JsonSchema { schema, lenient } => Ok(json_schema(read_schema(schema)?, *lenient)),
            Self::JsonObject => Ok(json_schema(json!({"type": "object"}), false)),
            Self::Regex(pattern) => {
                bounded("pattern", pattern)?;
                // As in JSON Schema and most servers: a digit is one of ten.
                let pattern = regex_to_lark(without_anchors(pattern), "dws");
                Ok(TopLevelGrammar::from_lark(format!("start: /{pattern}/")))
            }
            Self::Choice(choices) => {
                if choices.iter().map(String::len).sum::<usize>() > LONGEST {
                    return Err(too_long("choices"));
                }
                let options: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
                Ok(TopLevelGrammar::from_lark(format!("start: {}", options.join(" | "))))
            }
            Self::Lark(grammar) => {
                bounded("grammar", grammar)?;
                if depth(grammar) > DEEPEST {
                    return Err(Refused::new(
                        "",
                        format!("the grammar nests brackets more than {DEEPEST} deep"),
                    ));
                }
                Ok(TopLevelGrammar::from_lark(with_checked_schemas(grammar)?))
            }
        }
    }
}

fn bounded(what: &str, text: &str) -> Result<(), Refused> {
    if text.len() > LONGEST { Err(too_long(what)) } else { Ok(()) }
}

fn too_long(what: &str) -> Refused {
    Refused::new("", format!("the {what} may have {LONGEST} bytes at most"))
}

/// Reads a schema's text.
pub fn read_schema(text: &str) -> Result<Value, Refused> {
    bounded("schema", text)?;
    let schema = serde_json::from_str(text)
        .map_err(|error| Refused::new("", format!("the schema is not JSON: {error}")))?;
    Ok(if schema == Value::Bool(true) { json!({}) } else { schema })
}

/// A schema with our options, in place of any that a client wrote into it.
pub fn json_schema(mut schema: Value, lenient: bool) -> TopLevelGrammar {
    schema::make_exact(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        let options =
            json!({ "whitespace_pattern": WHITESPACE, "lenient": lenient, "coerce_one_of": lenient });
        object.insert("x-guidance".to_owned(), options);
    }
    TopLevelGrammar::from_json_schema(schema)
}

/// A grammar whose inline schemas (`%json {…}`) are looked at as others are, and made as exact.
fn with_checked_schemas(grammar: &str) -> Result<String, Refused> {
    let mut checked = String::with_capacity(grammar.len());
    let mut rest = grammar;
    while let Some(at) = rest.find(INLINE_SCHEMA) {
        let (before, after) = rest.split_at(at + INLINE_SCHEMA.len());
        checked.push_str(before);
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        rest = after;
        // What is no JSON is not what llguidance takes for a schema either.
        let Some(Ok(mut schema)) = values.next() else { continue };
        let lenient = schema.pointer("/x-guidance/lenient") == Some(&Value::Bool(true));
        schema::check(&schema, lenient)?;
        schema::make_exact(&mut schema);
        checked.push(' ');
        checked.push_str(&schema.to_string());
        rest = &after[values.byte_offset()..];
    }
    checked.push_str(rest);
    Ok(checked)
}

/// A text as a terminal of Lark.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            // Everything that may mean something in a pattern, and nothing else: a letter after `\` would.
            other if other.is_ascii_punctuation() => {
                escaped.push('\\');
                escaped.push(other);
            }
            other => escaped.push(other),
        }
    }
    format!("/{}/", regex_to_lark(&escaped, ""))
}

/// A pattern is matched as a whole anyway.
fn without_anchors(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => rest,
        _ => pattern,
    }
}

/// Brackets open at once, at most; those in strings count too.
fn depth(text: &str) -> usize {
    let mut open: usize = 0;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
