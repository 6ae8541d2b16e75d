//! The JSON Schema Test Suite's own instances, token by token: what a schema allows can be written under it, and nothing else can.
//!
//! What the compiler refuses, and what could be written otherwise than it is here, is listed in `suite/`, so that a schema or an instance
//! which is newly refused or newly taken is noticed. `POLYLORA_WRITE_SUITE=1` writes what came out in the lists' place, to be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use polylora_grammar::{Compiler, Grammar, Source, Token, Vocabulary};
use serde_json::{Map, Value};

/// Longer than a byte, across what a grammar tells apart.
const LONGER: [&str; 12] =
    ["\":", "\",\"", "{\"", "\"}", "true", "false", "null", "foo", "bar", "\":1", "[]", "]}"];
const END: u32 = 256 + LONGER.len() as u32;

/// By what became of it (a reason in words), the names of what it became of.
type Listed = BTreeMap<String, Vec<String>>;

fn compiler() -> Compiler {
    Compiler::new(|| {
        let bytes = (0..=255u8).map(|byte| Token::Text(vec![byte]));
        let longer = LONGER.map(|text| Token::Text(text.as_bytes().to_vec()));
        let end = Token::Control("<|end|>".to_owned());
        Vocabulary::new(bytes.chain(longer).chain([end]), &[END])
    })
}

/// A text in the longest tokens, or in bytes.
fn tokens_of(text: &str, longest: bool) -> Vec<u32> {
    let mut tokens = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let fits = |(_, longer): &(usize, &&str)| rest.starts_with(longer.as_bytes());
        let longer = LONGER.iter().enumerate().filter(fits).max_by_key(|(_, longer)| longer.len());
        let (token, length) = match longer.filter(|_| longest) {
            Some((index, longer)) => (256 + index as u32, longer.len()),
            None => (u32::from(first), 1),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens.push(END);
    tokens
}

fn accepts(grammar: &Grammar, tokens: &[u32]) -> bool {
    let mut cursor = grammar.begin();
    tokens
        .iter()
        .all(|&token| cursor.mask().is_ok_and(|mask| mask.allows(token)) && cursor.consume(token).is_ok())
}

/// A value in every order of its objects' properties: the schema says in which it is written.
fn orders(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => {
            let start = vec![Vec::new()];
            let lists = items.iter().fold(start, |lists: Vec<Vec<Value>>, item| {
                let items = orders(item);
                lists.iter().flat_map(|list| items.iter().map(|item| with(list, item.clone()))).collect()
            });
            lists.into_iter().map(Value::Array).collect()
        }
        Value::Object(object) => {
            let entries: Vec<(String, Value)> = object.clone().into_iter().collect();
            let mut all = Vec::new();
            for order in permutations(entries.len()) {
                let start = vec![Vec::new()];
                let objects = order.iter().fold(start, |objects: Vec<Vec<(String, Value)>>, &index| {
                    let (name, value) = &entries[index];
                    let values = orders(value);
                    let longer = |object: &Vec<_>| {
                        let object = object.clone();
                        values.clone().into_iter().map(move |value| with(&object, (name.clone(), value)))
                    };
                    objects.iter().flat_map(longer).collect()
                });
                all.extend(objects.into_iter().map(|object| Value::Object(Map::from_iter(object))));
            }
            all
        }
        other => vec![other.clone()],
    }
}

fn with<T: Clone>(list: &[T], more: T) -> Vec<T> {
    list.iter().cloned().chain([more]).collect()
}

/// The orders of so many; of more than six only the first.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count > 6 {
        return vec![(0..count).collect()];
    }
    (0..count).fold(vec![Vec::new()], |orders, next| {
        let into = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        };
        orders.iter().flat_map(into).collect()
    })
}

fn suite() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../test/fixtures/schemas/json-schema-test-suite.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn path_of(list: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite").join(list)
}

/// A reason a line, and below it, indented, what it is the reason of.
fn read(list: &str) -> Listed {
    let mut listed = Listed::new();
    let mut reason = String::new();
    for line in std::fs::read_to_string(path_of(list)).unwrap_or_default().lines() {
        match line.strip_prefix("  ") {
            Some(name) => listed.entry(reason.clone()).or_default().push(name.to_owned()),
            None => reason = line.to_owned(),
        }
    }
    listed
}

fn written(listed: &Listed) -> String {
    let mut text = String::new();
    for (reason, names) in listed {
        writeln!(text, "{reason}").unwrap();
        names.iter().for_each(|name| writeln!(text, "  {name}").unwrap());
    }
    text
}

/// Fails with what differs from a list, each difference by its name.
fn compare(list: &str, found: &Listed) {
    if std::env::var_os("POLYLORA_WRITE_SUITE").is_some() {
        std::fs::write(path_of(list), written(found)).unwrap();
    }
    let listed = read(list);
    let only = |these: &Listed, others: &Listed| {
        let mut lines = Vec::new();
        for (reason, names) in these {
            let known = others.get(reason);
            let new = names.iter().filter(|name| known.is_none_or(|known| !known.contains(name)));
            lines.extend(new.map(|name| format!("  {name}: {reason}")));
        }
        lines.join("\n")
    };
    let (new, gone) = (only(found, &listed), only(&listed, found));
    assert!(new.is_empty() && gone.is_empty(), "{list}\nnot listed:\n{new}\nlisted, and no more so:\n{gone}");
}

/// Why an instance that a schema allows is not written, in words; empty where nobody has said.
fn why_not_taken(file: &str, instance: &str) -> &'static str {
    if file == "format" {
        return "A format is kept to, though the specification lets it be an annotation";
    }
    if instance.contains(".0") { "Integers are written without a point" } else { "" }
}

#[test]
fn instances_are_taken_and_refused_as_the_suite_says() {
    let compiler = compiler();
    let (mut refused, mut not_taken, mut wrongly_taken) = (Listed::new(), Listed::new(), Vec::new());
    let (mut taken, mut kept_out) = (0, 0);
    for group in suite() {
        let file = group["file"].as_str().unwrap();
        let name = format!("{file}: {}", group["description"].as_str().unwrap());
        let source = Source::JsonSchema { schema: group["schema"].to_string(), lenient: false };
        let grammar = match compiler.compile(&source) {
            Ok(grammar) => grammar,
            Err(why) => {
                refused.entry(why.message).or_default().push(name);
                continue;
            }
        };
        for test in group["tests"].as_array().unwrap() {
            let instance = &test["data"];
            let mut texts = orders(instance).into_iter().map(|value| value.to_string());
            let is_taken = texts.any(|text| {
                let [whole, bytes] =
                    [true, false].map(|longest| accepts(&grammar, &tokens_of(&text, longest)));
                assert_eq!(whole, bytes, "{name}: {text}: it matters how the text is cut into tokens");
                whole
            });
            let shown = format!("{name}: {instance}");
            match (test["valid"] == true, is_taken) {
                (true, true) => taken += 1,
                (false, false) => kept_out += 1,
                (false, true) => wrongly_taken.push(shown),
                (true, false) => {
                    let why = why_not_taken(file, &instance.to_string());
                    not_taken.entry(why.to_owned()).or_default().push(shown);
                }
            }
        }
    }
    // Nothing excuses these: a schema that lets through what it does not allow has to be refused.
    assert!(wrongly_taken.is_empty(), "taken, and not allowed:\n{}", wrongly_taken.join("\n"));
    compare("refused.txt", &refused);
    compare("not-taken.txt", &not_taken);
    assert!(not_taken.keys().all(|why| !why.is_empty()), "not taken, and nobody has said why");
    // So that a suite that was not read, or cut short, is noticed.
    assert!(taken >= 340 && kept_out >= 220, "{taken} taken, {kept_out} kept out");
}
