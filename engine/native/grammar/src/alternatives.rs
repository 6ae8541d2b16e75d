//! `oneOf` as `anyOf` where no value could be two of its schemas: llguidance does not look behind references for that.

use serde_json::Value;

use crate::schema::{LISTS, MAPS, ONE};

/// A set of JSON's types, a bit each.
type Types = u8;
const ALL: Types = 0b11_1111;
const OBJECT: Types = 0b10_0000;
/// A property's name and what it may be.
type Tag = (String, Vec<Value>);
/// Schemas looked at for one that a client sent, at most: references to references are many ways through few schemas.
const MOST_LOOKS: usize = 100_000;
/// References that follow one another, at most.
const DEEPEST: usize = 32;

/// Makes each `oneOf` an `anyOf` whose schemas are of different types, or of objects that a property tells apart.
pub fn make_any(schema: &mut Value) {
    let whole = schema.clone();
    // Below an address of its own a reference may begin elsewhere.
    let has_addresses = children(&whole).any(has_address);
    Walk { whole: (!has_addresses).then_some(&whole), left: MOST_LOOKS }.visit(schema);
}

fn has_address(value: &Value) -> bool {
    value.get("$id").is_some_and(Value::is_string) || children(value).any(has_address)
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_array().into_iter().flatten();
    list.chain(value.as_object().into_iter().flat_map(|object| object.values()))
}

struct Walk<'a> {
    /// Where references begin; `None` where that may differ.
    whole: Option<&'a Value>,
    left: usize,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &mut Value) {
        let Some(object) = schema.as_object_mut() else { return };
        for (keyword, value) in object.iter_mut() {
            match value {
                Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                    list.iter_mut().for_each(|inner| self.visit(inner));
                }
                Value::Object(map) if MAPS.contains(&keyword.as_str()) => {
                    map.values_mut().for_each(|inner| self.visit(inner));
                }
                inner if ONE.contains(&keyword.as_str()) => self.visit(inner),
                _ => {}
            }
        }
        if object.contains_key("anyOf") {
            return;
        }
        let alternatives = object.get("oneOf").and_then(Value::as_array);
        if alternatives.is_some_and(|alternatives| self.are_apart(alternatives)) {
            let alternatives = object.shift_remove("oneOf").unwrap_or_default();
            object.insert("anyOf".to_owned(), alternatives);
        }
    }

    fn are_apart(&mut self, schemas: &[Value]) -> bool {
        let mut seen: Vec<(Types, Vec<Tag>)> = Vec::new();
        for schema in schemas {
            let types = self.of(schema, DEEPEST);
            let tags = self.tags(schema);
            for (others, other_tags) in &seen {
                let shared = types & others;
                self.left = self.left.saturating_sub(1);
                if self.left == 0 || shared != 0 && (shared != OBJECT || !differ(&tags, other_tags)) {
                    return false;
                }
            }
            seen.push((types, tags));
        }
        true
    }

    /// The properties that a schema requires to be one of some texts.
    fn tags(&mut self, schema: &Value) -> Vec<Tag> {
        let schema = self.behind(schema);
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        let mut tags = Vec::new();
        for name in required.iter().filter_map(Value::as_str) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let property = self.behind(&schema["properties"][name]);
            let values = match (&property["const"], &property["enum"]) {
                (Value::Null, Value::Array(values)) => values.clone(),
                (value, Value::Null) => vec![value.clone()],
                _ => continue,
            };
            // Of numbers it is not plain whether they are the same.
            if values.iter().all(Value::is_string) {
                tags.push((name.to_owned(), values));
            }
        }
        tags
    }

    /// What a mere reference refers to, or the schema itself.
    fn behind<'v>(&self, mut schema: &'v Value) -> &'v Value
    where
        'a: 'v,
    {
        for _ in 0..DEEPEST {
            match self.referred(&schema["$ref"]) {
                Some(there) => schema = there,
                None => break,
            }
        }
        schema
    }

    fn referred(&self, reference: &Value) -> Option<&'a Value> {
        self.whole?.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    /// The types that a schema's values may have, and perhaps others.
    fn of(&mut self, schema: &Value, depth: usize) -> Types {
        if self.left == 0 || depth == 0 {
            return ALL;
        }
        self.left -= 1;
        let object = match schema {
            Value::Bool(false) => return 0,
            Value::Object(object) => object,
            _ => return ALL,
        };
        object.iter().fold(ALL, |types, (keyword, value)| {
            let list = value.as_array().map_or(&[][..], Vec::as_slice);
            types
                & match keyword.as_str() {
                    "type" if list.is_empty() => named(value),
                    "type" => list.iter().fold(0, |types, name| types | named(name)),
                    "const" => of_value(value),
                    "enum" => list.iter().fold(0, |types, value| types | of_value(value)),
                    "anyOf" | "oneOf" => {
                        list.iter().fold(0, |types, inner| types | self.of(inner, depth - 1))
                    }
                    "allOf" => list.iter().fold(ALL, |types, inner| types & self.of(inner, depth - 1)),
                    "$ref" => self.referred(value).map_or(ALL, |there| self.of(there, depth - 1)),
                    _ => ALL,
                }
        })
    }
}

/// Whether a property that both require is never the same.
fn differ(tags: &[Tag], others: &[Tag]) -> bool {
    tags.iter().any(|(name, values)| {
        let other = others.iter().find(|(other, _)| other == name);
        other.is_some_and(|(_, others)| values.iter().all(|value| !others.contains(value)))
    })
}

fn named(name: &Value) -> Types {
    match name.as_str() {
        Some("null") => of_value(&Value::Null),
        Some("boolean") => of_value(&Value::Bool(true)),
        Some("integer" | "number") => of_value(&Value::from(0)),
        Some("string") => of_value(&Value::from("")),
        Some("array") => of_value(&Value::Array(Vec::new())),
        Some("object") => of_value(&Value::Object(serde_json::Map::new())),
        _ => ALL,
    }
}

fn of_value(value: &Value) -> Types {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 4,
        Value::String(_) => 8,
        Value::Array(_) => 16,
        Value::Object(_) => OBJECT,
    }
}
