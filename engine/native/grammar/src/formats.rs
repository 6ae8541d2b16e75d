//! Formats of strings as patterns, where llguidance's own let through what is no such thing: the 29th of February of any year, and
//! a 60th second of any minute, and those that it does not know. Formats of integers, which it does not look at, as bounds.

const THIRTY_ONE: &str = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])";
const THIRTY: &str = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)";
const FEBRUARY: &str = "02-(?:0[1-9]|1[0-9]|2[0-8])";
const LEAP_YEAR: &str = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
const TIME: &str = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// RFC 6570: what stands for itself, and expressions in braces.
const TEMPLATE_LITERAL: &str =
    r"[!#$&(-;=?-\[\]_a-z~\u{a0}-\u{d7ff}\u{f900}-\u{fdcf}\u{fdf0}-\u{ffef}]|%[0-9A-Fa-f]{2}";
const TEMPLATE_VARIABLE: &str =
    r"(?:[0-9A-Za-z_]|%[0-9A-Fa-f]{2})(?:\.?(?:[0-9A-Za-z_]|%[0-9A-Fa-f]{2}))*(?::[1-9][0-9]{0,3}|\*)?";
/// RFC 6901.
const POINTER: &str = "(?:/(?:[^~/]|~[01])*)*";

/// A pattern for a format's strings, or `None` where llguidance's own will do.
pub fn pattern(format: &str) -> Option<String> {
    let date = || format!("(?:[0-9]{{4}}-(?:{THIRTY_ONE}|{THIRTY}|{FEBRUARY})|{LEAP_YEAR}-02-29)");
    match format {
        "date" => Some(format!("^{}$", date())),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{}[tT]{TIME}$", date())),
        "uri-template" => Some(format!(
            "^(?:{TEMPLATE_LITERAL}|\\{{[+#./;?&=,!@|]?{TEMPLATE_VARIABLE}(?:,{TEMPLATE_VARIABLE})*\\}})*$"
        )),
        "json-pointer" => Some(format!("^{POINTER}$")),
        "relative-json-pointer" => Some(format!("^(?:0|[1-9][0-9]*)(?:#|{POINTER})$")),
        _ => None,
    }
}

/// The lowest integer of 64 bits that llguidance makes a pattern for: it keeps bounds as doubles, and this is the next above the lowest.
const LEAST_INT64: i64 = -9_223_372_036_854_774_784;

/// What a number of OpenAPI's integer formats may be.
pub fn bounds(format: &str) -> Option<(i64, i64)> {
    match format {
        "int32" => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        "int64" => Some((LEAST_INT64, i64::MAX)),
        _ => None,
    }
}
