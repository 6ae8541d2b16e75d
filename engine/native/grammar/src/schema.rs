//! A schema read before it is compiled: what in it cannot be enforced is named with its place.

use serde_json::{Map, Value, json};

use crate::{Refused, alternatives, formats, patterns};

/// Keywords that say something about values which no grammar of ours enforces.
const NOT_ENFORCED: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
];
/// Keywords whose value is a schema.
pub const ONE: &[&str] = &["items", "additionalItems", "additionalProperties"];
/// Keywords whose value is a list of schemas.
pub const LISTS: &[&str] = &["anyOf", "oneOf", "allOf", "prefixItems", "items"];
/// Keywords whose value is schemas by name.
pub const MAPS: &[&str] = &["properties", "patternProperties", "$defs", "definitions"];
/// Keywords whose value is a count.
const COUNTS: &[&str] = &["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
/// Schemas in a schema, at most.
const MOST: usize = 20_000;
/// Values of an `enum`, at most.
const MOST_VALUES: usize = 20_000;
/// Repetitions in a keyword, at most: each is a state.
const MOST_REPETITIONS: u64 = 100_000;

/// What `multipleOf` may come to: the remainders are states, and those of several are multiplied.
const LARGEST_MULTIPLE: u64 = 10_000;

/// # Errors
/// With the place of the first thing that cannot be enforced.
pub fn check(schema: &Value, lenient: bool) -> Result<(), Refused> {
    Walk { root: schema, lenient, left: MOST, multiple: 1 }.visit(schema, "")
}

/// The schemas right in a schema, with their places.
pub fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        let here = format!("/{}", escaped(keyword));
        match value {
            Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                parts
                    .extend(list.iter().enumerate().map(|(index, inner)| (format!("{here}/{index}"), inner)));
            }
            Value::Object(map) if MAPS.contains(&keyword.as_str()) => {
                parts.extend(map.iter().map(|(name, inner)| (format!("{here}/{}", escaped(name)), inner)));
            }
            inner if ONE.contains(&keyword.as_str()) => parts.push((here, inner)),
            _ => {}
        }
    }
    parts
}

/// Says in keywords that llguidance enforces to the letter what it would take less exactly, or not at all.
pub fn make_exact(schema: &mut Value) {
    alternatives::make_any(schema);
    make_keywords_exact(schema);
}

fn make_keywords_exact(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("uniqueItems") == Some(&Value::Bool(false)) {
        object.remove("uniqueItems");
    }
    for keyword in COUNTS {
        // 2.0 is an integer, and llguidance takes it for none.
        if let Some(count) = object.get(*keyword).filter(|count| !count.is_u64()).and_then(whole) {
            object.insert((*keyword).to_owned(), count.into());
        }
    }
    if let Some(Value::String(pattern)) = object.get_mut("pattern") {
        *pattern = patterns::as_in_ecma(pattern);
    }
    if let Some(Value::Object(map)) = object.get_mut("patternProperties") {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(pattern, inner)| (patterns::as_in_ecma(&pattern), inner))
            .collect();
    }
    let pattern = object.get("format").and_then(Value::as_str).and_then(formats::pattern);
    if let Some(pattern) = pattern.filter(|_| !object.contains_key("pattern")) {
        object.remove("format");
        object.insert("pattern".to_owned(), Value::String(pattern));
    }
    if let Some((least, most)) = object.get("format").and_then(Value::as_str).and_then(formats::bounds) {
        bound(object, least, most);
    }
    for (keyword, value) in object.iter_mut() {
        match value {
            Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                list.iter_mut().for_each(make_keywords_exact)
            }
            Value::Object(map) if MAPS.contains(&keyword.as_str()) => {
                map.values_mut().for_each(make_keywords_exact)
            }
            inner if ONE.contains(&keyword.as_str()) => make_keywords_exact(inner),
            _ => {}
        }
    }
}

/// Keeps the integers that a schema allows within bounds: those of other types are not concerned.
fn bound(object: &mut Map<String, Value>, least: i64, most: i64) {
    let integers_only = |name: &Value| if name == "number" { json!("integer") } else { name.clone() };
    match object.get_mut("type") {
        Some(Value::Array(names)) => *names = names.iter().map(integers_only).collect(),
        Some(name) => *name = integers_only(name),
        // Whether a number is meant at all is not said.
        None => return,
    }
    object.remove("format");
    let [minimum, maximum] =
        ["minimum", "maximum"].map(|keyword| object.get(keyword).and_then(Value::as_f64));
    // As doubles: where they are not exact, rounding keeps the order.
    if minimum.is_none_or(|given| given < least as f64) {
        object.insert("minimum".to_owned(), least.into());
    }
    if maximum.is_none_or(|given| given > most as f64) {
        object.insert("maximum".to_owned(), most.into());
    }
}

/// A part of a schema as a schema of its own, which carries the whole for its references.
pub fn alone(part: &Value, whole: &Value) -> Value {
    const WHOLE: &str = "x-whole";
    fn redirect(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(redirect),
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(reference) if key == "$ref" && reference.starts_with('#') => {
                            reference.insert_str(1, &format!("/{WHOLE}"));
                        }
                        other => redirect(other),
                    }
                }
            }
            _ => {}
        }
    }
    let mut part = part.clone();
    redirect(&mut part);
    if let Some(object) = part.as_object_mut() {
        let mut whole = whole.clone();
        redirect(&mut whole);
        whole.as_object_mut().and_then(|whole| whole.shift_remove("$id"));
        object.insert(WHOLE.to_owned(), whole);
    }
    part
}

struct Walk<'a> {
    root: &'a Value,
    lenient: bool,
    /// Schemas that may still come.
    left: usize,
    /// The least common multiple of all that numbers must be multiples of.
    multiple: u64,
}

impl Walk<'_> {
    fn visit(&mut self, schema: &Value, place: &str) -> Result<(), Refused> {
        if self.left == 0 {
            return Err(Refused::new("", format!("the schema consists of more than {MOST} schemas")));
        }
        self.left -= 1;
        let object = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(object) => object,
            _ => return Err(Refused::new(place, "a schema is an object, true or false")),
        };
        for (keyword, value) in object {
            let here = || format!("{place}/{}", escaped(keyword));
            let keyword = keyword.as_str();
            let unique = keyword == "uniqueItems" && value == &Value::Bool(true);
            if !self.lenient && (unique || NOT_ENFORCED.contains(&keyword)) {
                return Err(Refused::new(here(), format!("`{keyword}` cannot be enforced")));
            }
            self.check_value(keyword, value).map_err(|message| Refused::new(here(), message))?;
        }
        for (part, inner) in parts(schema) {
            self.visit(inner, &format!("{place}{part}"))?;
        }
        Ok(())
    }

    fn check_value(&mut self, keyword: &str, value: &Value) -> Result<(), String> {
        match keyword {
            "anyOf" | "oneOf" | "allOf" if value.as_array().is_none_or(Vec::is_empty) => {
                Err(format!("`{keyword}` is a list of one schema or more"))
            }
            "enum" => match value.as_array() {
                None => Err("`enum` is a list of values".to_owned()),
                Some(values) if values.is_empty() => {
                    Err("`enum` has no value that could be chosen".to_owned())
                }
                Some(values) if values.len() > MOST_VALUES => {
                    Err(format!("`enum` may have {MOST_VALUES} values at most"))
                }
                Some(_) => Ok(()),
            },
            "$ref" => self.check_reference(value),
            count if COUNTS.contains(&count) => match value.as_u64().or_else(|| whole(value)) {
                None => Err(format!("`{keyword}` is an integer from 0")),
                Some(count) if count > MOST_REPETITIONS && keyword.starts_with("min") => {
                    Err(format!("`{keyword}` may be {MOST_REPETITIONS} at most"))
                }
                Some(_) => Ok(()),
            },
            "type" => match value {
                Value::String(name) => check_type(name),
                Value::Array(names) if !names.is_empty() => names.iter().try_for_each(|name| {
                    name.as_str().map_or(Err("a type is a string".to_owned()), check_type)
                }),
                _ => Err("`type` is a type's name or a list of them".to_owned()),
            },
            "multipleOf" => self.check_multiple(value),
            "properties" | "patternProperties" | "$defs" | "definitions" if !value.is_object() => {
                Err(format!("`{keyword}` has schemas by name"))
            }
            _ => Ok(()),
        }
    }

    fn check_multiple(&mut self, value: &Value) -> Result<(), String> {
        let step = value.as_f64().filter(|step| *step > 0.0);
        let step = step.ok_or_else(|| "`multipleOf` is a number above 0".to_owned())?;
        let coefficient = coefficient(&value.to_string());
        self.multiple =
            coefficient.map_or(u64::MAX, |coefficient| least_common_multiple(self.multiple, coefficient));
        if self.multiple > LARGEST_MULTIPLE {
            return Err(format!(
                "`multipleOf` {step}, with all others in the schema, has more than {LARGEST_MULTIPLE} remainders"
            ));
        }
        Ok(())
    }

    fn check_reference(&self, value: &Value) -> Result<(), String> {
        let Some(reference) = value.as_str() else { return Err("`$ref` is a string".to_owned()) };
        if reference == "#" {
            return Ok(());
        }
        let Some(pointer) = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/')) else {
            return Err(format!("`$ref` points outside of the schema or to an anchor: {reference}"));
        };
        if self.root.pointer(pointer).is_none() {
            return Err(format!("`$ref` points to nothing: {reference}"));
        }
        Ok(())
    }
}

fn check_type(name: &str) -> Result<(), String> {
    match name {
        "null" | "boolean" | "integer" | "number" | "string" | "array" | "object" => Ok(()),
        other => Err(format!("there is no type `{other}`")),
    }
}

/// A number that is written as 3.0 and is an integer.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64()?;
    (number >= 0.0 && number.fract() == 0.0 && number < 1e18).then_some(number as u64)
}

/// The digits of a decimal number without its point and the zeros after them: 0.25 is 25 hundredths.
fn coefficient(number: &str) -> Option<u64> {
    let digits = number.split(['e', 'E']).next()?.replace('.', "");
    digits.trim_end_matches('0').parse().ok()
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
