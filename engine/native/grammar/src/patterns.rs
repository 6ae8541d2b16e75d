//! Patterns as ECMA-262 means them, which JSON Schema refers to, in the syntax of Rust's `regex`.

/// What `.` does not match: Rust's matches all of them but the first.
const LINE_ENDS: &str = r"\n\r\u{2028}\u{2029}";
/// What `\s` matches. Rust's has U+0085 too, and not U+FEFF.
const SPACES: &str =
    r"\t\n\v\f\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// A pattern that matches what it would in ECMA-262. One that has flags of its own is in Rust's syntax already, and is left as it is.
pub fn as_in_ecma(pattern: &str) -> String {
    if has_flags(pattern) {
        return pattern.to_owned();
    }
    let mut written = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('s') if in_class => written.push_str(SPACES),
                Some('s') => written.push_str(&format!("[{SPACES}]")),
                Some('S') => written.push_str(&format!("[^{SPACES}]")),
                Some(other) => written.extend(['\\', other]),
                None => written.push('\\'),
            },
            '.' if !in_class => written.push_str(&format!("[^{LINE_ENDS}]")),
            '[' => {
                in_class = true;
                written.push('[');
            }
            ']' => {
                in_class = false;
                written.push(']');
            }
            other => written.push(other),
        }
    }
    written
}

/// Whether it has a group like `(?s)` or `(?i:…)`.
fn has_flags(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|group| {
        let flags =
            group.trim_start_matches(|character: char| character == '-' || character.is_ascii_lowercase());
        flags.len() < group.len() && flags.starts_with([')', ':'])
    })
}
