//! What a query string says.

use std::ops::RangeInclusive;

use http_server::{ErrorCode, Problem};
use jiff::civil::Date;

/// Longest name in a filter, in characters.
const MAX_NAME: usize = 256;

/// The value under this name, if there is one.
///
/// # Errors
/// Returns `invalid_parameter` if there are several.
pub fn single(query: &str, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    let first = values.next();
    if values.next().is_some() {
        let detail = format!("{name} is there more than once: name one.");
        return Err(invalid(name, detail));
    }
    Ok(first.map(|(_, value)| value.into_owned()))
}

/// What a filter by name lets through; `None` if the query string has no such filter.
///
/// # Errors
/// Returns `invalid_parameter` if there are several, or the name is blank or too long.
pub fn only(query: &str, name: &'static str) -> Result<Option<String>, Problem> {
    let Some(value) = single(query, name)? else {
        return Ok(None);
    };
    let value = value.trim();
    let length = value.chars().count();
    if !(1..=MAX_NAME).contains(&length) {
        let detail = format!(
            "{name} has {length} characters: write a name of 1 to {MAX_NAME} characters, or \"unknown\"."
        );
        return Err(invalid(name, detail));
    }
    Ok(Some(value.to_owned()))
}

/// The same, where an empty name is none: WakaTime's clients write down every parameter that they know.
///
/// # Errors
/// Returns `invalid_parameter` if there are several, or the name is too long.
pub fn only_if_named(query: &str, name: &'static str) -> Result<Option<String>, Problem> {
    match single(query, name)? {
        Some(value) if value.trim().is_empty() => Ok(None),
        _ => only(query, name),
    }
}

/// The day under this name, if there is one.
///
/// # Errors
/// Returns `invalid_parameter` if there are several, or it is no day.
pub fn day(query: &str, name: &'static str) -> Result<Option<Date>, Problem> {
    let Some(value) = single(query, name)? else {
        return Ok(None);
    };
    parse_day(&value).map(Some).ok_or_else(|| {
        let value = types::json::shorten(&value, 40);
        invalid(
            name,
            format!("{name} is {value:?}: write a day as YYYY-MM-DD, such as 2026-03-01."),
        )
    })
}

/// The whole number under this name, if there is one; it must be within `bounds`.
///
/// # Errors
/// Returns `invalid_parameter` if there are several, or it is none of these numbers.
pub fn number(
    query: &str,
    name: &'static str,
    bounds: RangeInclusive<u64>,
) -> Result<Option<u64>, Problem> {
    let Some(value) = single(query, name)? else {
        return Ok(None);
    };
    let number = parse_number(&value).filter(|number| bounds.contains(number));
    number.map(Some).ok_or_else(|| {
        let value = types::json::shorten(&value, 40);
        let (least, most) = bounds.into_inner();
        let detail = format!("{name} is {value:?}: write a whole number from {least} to {most}.");
        invalid(name, detail)
    })
}

/// Reads digits and nothing else.
pub fn parse_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// Reads `YYYY-MM-DD` and nothing else: days are compared as they are written.
pub fn parse_day(text: &str) -> Option<Date> {
    text.parse::<Date>()
        .ok()
        .filter(|date| text.len() == 10 && date.to_string() == text)
}

/// The refusal of a parameter.
pub fn invalid(parameter: &'static str, detail: String) -> Problem {
    Problem::new(ErrorCode::InvalidParameter, detail).parameter(parameter)
}
