//! What a user of grammars sees: answers that have the form, clear refusals, and bounds.

use std::time::{Duration, Instant};

use super::*;

/// Every byte is a token, then some longer ones, then two control tokens and the end.
fn compiler() -> Compiler {
    Compiler::new(|| Vocabulary::new(tokens(), &[END]))
}

const LONGER: [&str; 12] =
    ["\":", "\",\"", "{\"", "\"}", "true", "false", "null", "name", "ab", "abc", "<tool_call>", "  "];
const TOOL: u32 = 256 + LONGER.len() as u32;
const END: u32 = TOOL + 1;

fn tokens() -> Vec<Token> {
    let mut tokens: Vec<Token> = (0..=255u8).map(|byte| Token::Text(vec![byte])).collect();
    tokens.extend(LONGER.map(|text| Token::Text(text.as_bytes().to_vec())));
    tokens.push(Token::Control("<|tool|>".to_owned()));
    tokens.push(Token::Control("<|end|>".to_owned()));
    tokens
}

fn text_of(token: u32) -> Vec<u8> {
    match &tokens()[token as usize] {
        Token::Text(bytes) => bytes.clone(),
        Token::Control(content) => content.clone().into_bytes(),
    }
}

/// A number from 0 to `below`, from a sequence of numbers that look random.
fn next_random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

/// An answer of tokens that are all equally likely; it ends when it may with a chance of one half.
fn random_answer(grammar: &Grammar, seed: u64) -> Option<String> {
    let mut state = seed;
    let mut cursor = grammar.begin();
    let mut bytes = Vec::new();
    for _ in 0..2_000 {
        let mask = cursor.mask().unwrap();
        let allowed: Vec<u32> = (0..=END).filter(|&token| mask.allows(token)).collect();
        assert!(!allowed.is_empty());
        let may_end = allowed.contains(&END);
        let token = if may_end && next_random(&mut state, 2) == 0 {
            END
        } else {
            allowed[next_random(&mut state, allowed.len())]
        };
        if token == END {
            return Some(String::from_utf8(bytes).unwrap());
        }
        bytes.extend(text_of(token));
        cursor.consume(token).unwrap();
    }
    None
}

fn json(schema: &str) -> Source {
    Source::JsonSchema { schema: schema.to_owned(), lenient: false }
}

fn refusal(source: Source) -> Refused {
    compiler().compile(&source).err().expect("it is refused")
}

fn accepts(grammar: &Grammar, text: &str) -> bool {
    let mut cursor = grammar.begin();
    for byte in text.bytes() {
        if !cursor.mask().unwrap().allows(u32::from(byte)) {
            return false;
        }
        cursor.consume(u32::from(byte)).unwrap();
    }
    cursor.mask().unwrap().allows(END)
}

#[test]
fn answers_at_random_have_the_form_of_the_schema() {
    let schema = r#"{"type":"object","properties":{"name":{"type":"string","maxLength":8},"on":{"type":"boolean"},
        "tags":{"type":"array","items":{"enum":["a","b","c"]},"maxItems":3}},"required":["name","on","tags"],
        "additionalProperties":false}"#;
    let grammar = compiler().compile(&json(schema)).unwrap();
    let mut complete = 0;
    for seed in 0..200 {
        let Some(answer) = random_answer(&grammar, seed) else { continue };
        complete += 1;
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let object = value.as_object().unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), ["name", "on", "tags"]);
        assert!(object["name"].as_str().unwrap().chars().count() <= 8);
        assert!(object["on"].is_boolean());
        assert!(
            object["tags"]
                .as_array()
                .unwrap()
                .iter()
                .all(|tag| ["a", "b", "c"].contains(&tag.as_str().unwrap()))
        );
    }
    assert!(complete > 150, "{complete}");
}

#[test]
fn white_space_is_bounded() {
    let grammar = compiler().compile(&Source::JsonObject).unwrap();
    assert!(accepts(&grammar, "{\n    \"a\": [1, 2],\n    \"b\": {}\n}"));
    assert!(accepts(&grammar, "{\"a\":1}"));
    assert!(!accepts(&grammar, "{\n\n\"a\":1}"));
    assert!(!accepts(&grammar, &format!("{{\n{}\"a\":1}}", " ".repeat(41))));
}

#[test]
fn patterns_and_choices_are_matched_whole() {
    let date = compiler().compile(&Source::Regex(r"^\d{4}-\d{2}$".to_owned())).unwrap();
    assert!(accepts(&date, "2026-11"));
    assert!(!accepts(&date, "2026-1"));
    let choices = ["yes", "no (not yet)", "a/b\\c", "line\nbreak", "ab", "abc", "für"].map(str::to_owned);
    let grammar = compiler().compile(&Source::Choice(choices.to_vec())).unwrap();
    for choice in &choices {
        assert!(accepts(&grammar, choice), "{choice}");
    }
    for other in ["", "ye", "yes ", "a/b", "no"] {
        assert!(!accepts(&grammar, other), "{other}");
    }
}

#[test]
fn control_tokens_come_only_where_a_grammar_names_them() {
    let free = compiler().compile(&Source::Regex(r"(?s:.*)".to_owned())).unwrap();
    let mut cursor = free.begin();
    let mask = cursor.mask().unwrap();
    assert!(mask.allows(END) && !mask.allows(TOOL) && mask.allows(u32::from(b'<')));
    assert!(!mask.allows(0xff), "no text has this byte");
    let named = Source::Lark(format!("start: <[{TOOL}]> /[a-z]+/"));
    let grammar = compiler().compile(&named).unwrap();
    let mut cursor = grammar.begin();
    assert!(cursor.mask().unwrap().allows(TOOL) && !cursor.mask().unwrap().allows(END));
    cursor.consume(TOOL).unwrap();
    assert!(!cursor.mask().unwrap().allows(TOOL) && cursor.mask().unwrap().allows(u32::from(b'a')));
}

#[test]
fn a_complete_answer_can_only_end() {
    let grammar = compiler().compile(&Source::Choice(vec!["true".to_owned()])).unwrap();
    let mut cursor = grammar.begin();
    for byte in *b"true" {
        assert!(!cursor.is_complete());
        cursor.consume(u32::from(byte)).unwrap();
    }
    assert!(cursor.is_complete());
    let mask = cursor.mask().unwrap();
    assert_eq!((0..=END).filter(|&token| mask.allows(token)).collect::<Vec<_>>(), [END]);
    cursor.consume(END).unwrap();
    assert!(cursor.mask().unwrap().allows(END));
}

#[test]
fn a_token_that_is_not_allowed_is_refused() {
    let grammar = compiler().compile(&Source::Choice(vec!["no".to_owned()])).unwrap();
    let mut cursor = grammar.begin();
    assert!(cursor.consume(u32::from(b'x')).is_err());
    assert!(cursor.mask().is_err());
}

#[test]
fn what_cannot_be_enforced_is_named_with_its_place() {
    let place = |schema: &str| {
        let Refused { place, message } = refusal(json(schema));
        (place, message)
    };
    let (at, message) = place(r#"{"type":"object","properties":{"a/b":{"not":{"type":"string"}}}}"#);
    assert_eq!(at, "/properties/a~1b/not");
    assert_eq!(message, "`not` cannot be enforced");
    assert_eq!(
        place(r#"{"type":"array","items":{"type":"array","uniqueItems":true}}"#).0,
        "/items/uniqueItems"
    );
    assert_eq!(place(r##"{"$ref":"#/$defs/none"}"##).0, "/$ref");
    assert_eq!(place(r#"{"anyOf":[{"type":"string"},{"enum":[]}]}"#).0, "/anyOf/1/enum");
    assert_eq!(place(r#"{"properties":{"a":7}}"#).0, "/properties/a");
    assert_eq!(place(r#"{"type":"array","items":{"type":"string","pattern":"(a"}}"#).0, "/items");
    assert_eq!(place(r#"{"properties":{"a":{"type":"text"}}}"#).0, "/properties/a/type");
    assert_eq!(
        place(r##"{"$defs":{"d":{"type":"nul"}},"items":{"properties":{"a":{"$ref":"#/$defs/d"}}}}"##).0,
        "/$defs/d/type"
    );
    assert_eq!(
        place(r#"{"type":"object","properties":{"a":{"type":"string","minLength":5,"maxLength":2}},"required":["a"]}"#).0,
        "/properties/a"
    );
    let closed =
        r#"{"additionalProperties":false,"oneOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}"#;
    let (at, message) = place(closed);
    assert!(at.is_empty() && message.starts_with("`oneOf` cannot be enforced"), "{at}: {message}");
    assert!(refusal(json("{")).message.contains("not JSON"));
    assert!(refusal(json("false")).message.contains("nsatisfiable"));
    let lenient = Source::JsonSchema { schema: r#"{"not":{"type":"string"}}"#.to_owned(), lenient: true };
    assert!(compiler().compile(&lenient).is_ok());
}

#[test]
fn options_of_a_client_s_own_do_nothing() {
    let schema = r#"{"x-guidance":{"whitespace_flexible":true,"lenient":true},"type":"object"}"#;
    let grammar = compiler().compile(&json(schema)).unwrap();
    assert!(!accepts(&grammar, "{   }"));
}

#[test]
fn dates_are_days_that_there_are() {
    let grammar = compiler().compile(&json(r#"{"type":"string","format":"date-time"}"#)).unwrap();
    for there in ["2024-02-29T23:59:59Z", "2000-02-29t00:00:00.5+14:00", "1999-12-31T12:00:00-03:30"] {
        assert!(accepts(&grammar, &format!("\"{there}\"")), "{there}");
    }
    for not in [
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01",
    ] {
        assert!(!accepts(&grammar, &format!("\"{not}\"")), "{not}");
    }
}

#[test]
fn templates_and_pointers_are_as_their_rfcs_say() {
    let formats: [(&str, &[&str], &[&str]); 3] = [
        (
            "uri-template",
            &["", "https://api.example.com/users{/user}{?page,per_page*}", "/é/%20{+a.b:30}"],
            &["{", "}", "{}", "{a", "a b", "{a b}", "%2", "{a:0}", "{a.}", "a\\n", "<a>"],
        ),
        ("json-pointer", &["", "/", "/foo//bar", "/a~1b/~0", "/é \\n"], &["a", "#/a", "/~", "/~2"]),
        ("relative-json-pointer", &["0", "1/foo", "120#", "0#"], &["", "/foo", "01", "-1/a", "0##", "1a"]),
    ];
    for (format, there, not) in formats {
        let grammar =
            compiler().compile(&json(&format!(r#"{{"type":"string","format":"{format}"}}"#))).unwrap();
        for text in there {
            assert!(accepts(&grammar, &format!("\"{text}\"")), "{format}: {text}");
        }
        for text in not {
            assert!(!accepts(&grammar, &format!("\"{text}\"")), "{format}: {text}");
        }
    }
}

#[test]
fn integers_of_a_width_fit_in_it() {
    let takes = |schema: &str, texts: &[&str]| {
        let grammar = compiler().compile(&json(schema)).unwrap();
        texts.iter().map(|text| accepts(&grammar, text)).collect::<Vec<_>>()
    };
    let texts = ["2147483647", "2147483648", "-2147483648", "-2147483649", "0", "1.5"];
    let fits = [true, false, true, false, true, false];
    assert_eq!(takes(r#"{"type":"integer","format":"int32"}"#, &texts), fits);
    assert_eq!(takes(r#"{"type":["number","null"],"format":"int32"}"#, &texts), fits);
    let nine = r#"{"type":"integer","format":"int32","minimum":-9,"maximum":9e9}"#;
    assert_eq!(takes(nine, &["-9", "-10", "2147483647", "2147483648"]), [true, false, true, false]);
    let texts =
        ["9223372036854775807", "9223372036854775808", "-9223372036854774784", "-9223372036854775809"];
    assert_eq!(takes(r#"{"type":"integer","format":"int64"}"#, &texts), [true, false, true, false]);
    assert_eq!(takes(r#"{"type":["string","integer"],"format":"int32"}"#, &["\"any\"", "1"]), [true, true]);
}

#[test]
fn patterns_mean_what_they_do_in_ecma_262() {
    let takes = |pattern: &str, text: &str| {
        let schema = serde_json::json!({ "type": "string", "pattern": pattern }).to_string();
        accepts(&compiler().compile(&json(&schema)).unwrap(), &serde_json::to_string(text).unwrap())
    };
    for (pattern, text, taken) in [
        ("^a.b$", "a-b", true),
        ("^a.b$", "a\rb", false),
        ("^a.b$", "a\u{2028}b", false),
        (r"^a\.b$", "a-b", false),
        (r"^a\.b$", "a.b", true),
        ("^a[.]b$", "a-b", false),
        ("^a[.]b$", "a.b", true),
        (r"^a\sb$", "a\u{feff}b", true),
        (r"^a\sb$", "a\u{85}b", false),
        (r"^a[x\s]b$", "a\u{3000}b", true),
        (r"^a\Sb$", "a\u{85}b", true),
        (r"^a[\S]b$", "a b", false),
        (r"^a[\S]b$", "a]b", true),
        (r"^a[^\s]b$", "a\tb", false),
        ("^(?s:a.b)$", "a\nb", true),
        ("^(?:a.b)$", "a\nb", false),
        ("^(?P<dot>.)$", "\r", false),
    ] {
        assert_eq!(takes(pattern, text), taken, "{pattern} {text:?}");
    }
    let named =
        r#"{"type":"object","patternProperties":{"^\\..+$":{"type":"null"}},"additionalProperties":false}"#;
    let grammar = compiler().compile(&json(named)).unwrap();
    assert!(accepts(&grammar, r#"{".a":null}"#) && !accepts(&grammar, r#"{".\r":null}"#));
}

#[test]
fn counts_may_be_written_with_a_point() {
    let grammar = compiler().compile(&json(r#"{"type":"string","minLength":2.0,"maxLength":3.0}"#)).unwrap();
    assert!(accepts(&grammar, "\"ab\"") && !accepts(&grammar, "\"a\"") && !accepts(&grammar, "\"abcd\""));
}

#[test]
fn schemas_in_grammars_are_checked_too() {
    let lark = |schema: &str| Source::Lark(format!("start: \"<\" %json {schema} \">\""));
    let grammar = compiler().compile(&lark(r#"{"type":"string","format":"date"}"#)).unwrap();
    assert!(accepts(&grammar, "<\"2024-02-29\">") && !accepts(&grammar, "<\"2023-02-29\">"));
    assert_eq!(refusal(lark(r#"{"items":{"not":{}}}"#)).place, "/items/not");
    assert!(refusal(lark(r#"{"type":"integer","multipleOf":9999991}"#)).message.contains("remainders"));
}

#[test]
fn recursive_schemas_nest_as_deep_as_the_answer_goes() {
    let schema = r##"{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[
        {"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"],"additionalProperties":false}}}"##;
    let grammar = compiler().compile(&json(schema)).unwrap();
    let nested = format!("{}null{}", "{\"next\":".repeat(60), "}".repeat(60));
    assert!(accepts(&grammar, &nested));
    assert!(!accepts(&grammar, &nested.replace("null", "1")));
}

/// What compiling takes, whether it succeeds or not.
fn time(source: &Source) -> (Duration, Result<Grammar, Refused>) {
    let compiler = compiler();
    compiler.compile(&Source::Choice(vec!["warm".to_owned()])).unwrap();
    let started = Instant::now();
    let result = compiler.compile(source);
    (started.elapsed(), result)
}

#[test]
fn hostile_sources_are_compiled_or_refused_in_bounded_time() {
    let deep_schema = format!("{}{{}}{}", r#"{"items":"#.repeat(100_000), "}".repeat(100_000));
    let recursive = r##"{"$ref":"#","allOf":[{"$ref":"#"}]}"##;
    let self_all_of = r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}"##;
    let many = (0..10_000).map(|i| format!("\"value {i} of an enum\"")).collect::<Vec<_>>().join(",");
    let product = format!(
        "{{\"allOf\":[{}]}}",
        (0..12).map(|i| format!(r#"{{"anyOf":[{{"properties":{{"p{i}":{{"type":"string"}}}}}},{{"properties":{{"q{i}":{{"type":"string"}}}}}}]}}"#)).collect::<Vec<_>>().join(",")
    );
    let chain = (0..9_000).map(|i| format!("T{i}: \"a\" T{}", i + 1)).collect::<Vec<_>>().join("\n");
    let rules = (0..9_000).map(|i| format!("r{i}: \"a\" r{}", i + 1)).collect::<Vec<_>>().join("\n");
    let sources = [
        json(&deep_schema),
        json(recursive),
        json(self_all_of),
        json(&format!("{{\"enum\":[{many}]}}")),
        json(&product),
        json(r#"{"type":"string","pattern":"^(a+)+$"}"#),
        json(r#"{"type":"string","pattern":"(x+x+)+y"}"#),
        json(r#"{"type":"string","pattern":"((a{1,100}){1,100}){1,100}"}"#),
        json(r#"{"type":"string","pattern":"(?:(?:a|b|ab)*c){50}.{0,500}[0-9]{3}"}"#),
        json(r#"{"type":"string","minLength":100000}"#),
        json(
            r#"{"type":"array","items":{"type":"array","items":{"type":"string"},"minItems":1000},"minItems":1000}"#,
        ),
        json(r#"{"type":"integer","multipleOf":9999991}"#),
        json(r#"{"type":"number","minimum":-1e300,"maximum":1e300}"#),
        Source::Regex("(a*)*b".to_owned()),
        Source::Regex("(a|aa)+$".to_owned()),
        Source::Regex("(.*a){20}.{1000}".to_owned()),
        Source::Regex("[ab]*a[ab]{200}".to_owned()),
        Source::Regex(format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000))),
        Source::Regex("a{1000}{1000}{1000}".to_owned()),
        Source::Regex(r"\p{L}{500}\p{N}{500}".to_owned()),
        Source::Lark(format!("start: T0\n{chain}\nT9000: \"b\"")),
        Source::Lark(format!("start: r0\n{rules}\nr9000: \"b\"")),
        Source::Lark("start: start start | \"a\" | ".to_owned()),
        Source::Lark("start: a\na: b\nb: a".to_owned()),
        Source::Lark(format!("start: {}\"a\"{}", "(".repeat(30), ")*".repeat(30))),
        Source::Lark("start: (\"a\"{1,1000}){1,1000}".to_owned()),
        Source::Lark("start: /(?P<x>a)\\1/".to_owned()),
        Source::Choice((0..10_000).map(|i| format!("choice number {i}")).collect()),
    ];
    for (index, source) in sources.iter().enumerate() {
        let (took, result) = time(source);
        let shown: String = format!("{source:?}").chars().take(80).collect();
        eprintln!(
            "{index:2} {took:>10.1?} {} {shown}",
            result.as_ref().err().map_or("compiled", |error| &error.message)
        );
        assert!(took < Duration::from_secs(5), "{shown}: {took:?}");
        // What is compiled can be used: its masks are found or refused, in bounded time.
        let Ok(grammar) = result else { continue };
        let mut cursor = grammar.begin();
        let mut state = index as u64;
        for _ in 0..50 {
            let started = Instant::now();
            let Ok(mask) = cursor.mask() else { break };
            assert!(started.elapsed() < Duration::from_secs(1), "{shown}");
            let allowed: Vec<u32> = (0..=END).filter(|&token| mask.allows(token)).collect();
            let token = allowed[next_random(&mut state, allowed.len())];
            if token == END || cursor.consume(token).is_err() {
                break;
            }
        }
    }
}

#[test]
fn one_of_several_types_is_enforced_behind_references_too() {
    let apart = r##"{"$defs":{"id":{"type":"integer"},"name":{"$ref":"#/$defs/text"},"text":{"type":"string"},"none":{"const":null}},
        "items":{"oneOf":[{"$ref":"#/$defs/id"},{"$ref":"#/$defs/name"},{"$ref":"#/$defs/none"}]},"type":"array"}"##;
    let grammar = compiler().compile(&json(apart)).unwrap();
    assert!(accepts(&grammar, r#"[1,"a",null]"#));
    assert!(!accepts(&grammar, "[true]"));
    for overlapping in [
        r##"{"$defs":{"id":{"type":"integer"}},"oneOf":[{"$ref":"#/$defs/id"},{"type":"number"}]}"##,
        r##"{"$defs":{"id":{}},"oneOf":[{"$ref":"#/$defs/id"},{"type":"null"}]}"##,
        r##"{"$defs":{"a":{"type":["string","null"]}},"oneOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}"##,
        r##"{"$defs":{"a":{"type":"string"}},"anyOf":[true],"oneOf":[{"$ref":"#/$defs/a"},{"enum":[1,"a"]}]}"##,
        r##"{"$defs":{"a":{"type":"string"}},"items":{"$id":"b","$defs":{"a":{}},"oneOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/a"}},"oneOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}"##,
    ] {
        let why = compiler().compile(&json(overlapping)).err().unwrap();
        assert!(!why.message.is_empty(), "{overlapping}");
    }
}

#[test]
fn one_of_objects_that_a_property_tells_apart_is_enforced_behind_references_too() {
    let pets = |dog: &str, required: &str| {
        json(&format!(
            r##"{{"$defs":{{
                "Cat":{{"type":"object","properties":{{"kind":{{"const":"cat"}}}},"required":["kind"],"additionalProperties":false}},
                "Dog":{{"type":"object","properties":{{"kind":{dog}}},"required":[{required}],"additionalProperties":false}}}},
                "oneOf":[{{"$ref":"#/$defs/Cat"}},{{"$ref":"#/$defs/Dog"}}]}}"##
        ))
    };
    let grammar = compiler().compile(&pets(r#"{"enum":["dog","puppy"]}"#, r#""kind""#)).unwrap();
    assert!(accepts(&grammar, r#"{"kind":"cat"}"#) && accepts(&grammar, r#"{"kind":"puppy"}"#));
    assert!(!accepts(&grammar, r#"{"kind":"cow"}"#) && !accepts(&grammar, "{}"));
    for (dog, required) in [
        (r#"{"enum":["dog","cat"]}"#, r#""kind""#),
        (r#"{"enum":["dog",1]}"#, r#""kind""#),
        (r#"{"type":"string"}"#, r#""kind""#),
        (r#"{"const":"dog"}"#, ""),
    ] {
        assert!(compiler().compile(&pets(dog, required)).is_err(), "{dog}");
    }
}

#[test]
fn what_parts_refer_to_is_no_fault_where_it_compiles() {
    let overlapping = r#"{"oneOf":[{"required":["a"]},{"required":["b"]}]}"#;
    let schema = format!(
        r##"{{"$defs":{{"day":{{"type":"string","format":"json-pointer"}}}},"type":"object",
            "properties":{{"first":{{"$ref":"#/$defs/day"}},"second":{overlapping}}}}}"##
    );
    let why = compiler().compile(&json(&schema)).err().unwrap();
    assert_eq!(why.place, "/properties/second");
}
