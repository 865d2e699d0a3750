//! Values of settings: read so that a wrong one is wrong usage, shown without their secrets.

use std::time::Duration;

/// Reads a time span such as `10s`, `500ms`, `2m`, `1h`, `30d`.
///
/// # Errors
/// Returns a sentence if the text is not one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits]
        .parse()
        .map_err(|_| format!("{text:?} is no time span; write 10s or 500ms"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        "d" => Ok(Duration::from_secs(number.saturating_mul(24 * 3600))),
        _ => Err(format!(
            "{text:?} has no unit among ms, s, m, h and d; write 10s or 500ms"
        )),
    }
}

/// Reads a rate: a whole number a second, as `N` or `N/s`; 0 means no limit.
///
/// # Errors
/// Returns a sentence if the text is not one, or the number exceeds 4,294,967,295.
pub fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let rate = digits.then(|| number.parse().ok()).flatten();
    rate.ok_or_else(|| {
        format!(
            "{text:?} is no rate; write a whole number of events a second, such as 500 or 500/s (0: no limit)"
        )
    })
}

/// Reads an address to listen on: `host:port`, an IPv6 host in brackets.
///
/// # Errors
/// Returns a sentence if the text is not one. Whether the host belongs to this machine shows later.
pub fn parse_address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':').filter(|(host, port)| {
        let plain = !host.is_empty() && !host.contains([':', '/', ' ', '[', ']']);
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host =
            plain || bracketed.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        host && port.parse::<u16>().is_ok()
    });
    let bad =
        || format!("{text:?} is no address to listen on; write host:port, such as 127.0.0.1:8787");
    parts.map(|_| text.to_owned()).ok_or_else(bad)
}

/// Reads an origin as a browser writes it: scheme, host and port, such as `https://app.example` or
/// `chrome-extension://ID`.
///
/// # Errors
/// Returns a sentence if the text is not one; `*` is none.
pub fn parse_origin(text: &str) -> Result<String, String> {
    let bad = |remedy: &str| {
        format!(
            "{text:?} is no origin; {remedy}, such as https://app.example or chrome-extension://ID"
        )
    };
    if text == "*" || text == "null" {
        return Err(bad("name each origin by itself"));
    }
    let Some((_, after)) = text.split_once("://") else {
        return Err(bad("write scheme, host and port"));
    };
    if after.contains(['/', '?', '#', '@', '*']) || after.is_empty() {
        return Err(bad("write scheme, host and port, without a path"));
    }
    let url = url::Url::parse(text)
        .ok()
        .filter(url::Url::has_host)
        .ok_or_else(|| bad("write scheme, host and port"))?;
    let origin = url.origin();
    // Of other schemes, such as those of browser extensions, browsers write what stands there.
    Ok(match origin.is_tuple() {
        true => origin.ascii_serialization(),
        false => format!("{}://{after}", url.scheme()),
    })
}

/// A URL, or several with commas between, without passwords and tokens; for any text, well-formed or not.
///
/// If it is not clear what belongs to a secret, more is hidden rather than less: what stands before the last `@` of an
/// address belongs to its user and password.
#[must_use]
pub fn mask(urls: &str) -> String {
    let mut masked = String::new();
    let mut rest = urls;
    // A comma is between two addresses if a scheme follows; any other may be part of a password.
    while let Some(comma) = rest
        .match_indices(',')
        .map(|(at, _)| at)
        .find(|&at| scheme(&rest[at + 1..]).is_some())
    {
        masked += &mask_one(&rest[..comma]);
        masked.push(',');
        rest = &rest[comma + 1..];
    }
    masked + &mask_one(rest)
}

/// The scheme that the text begins with, with its `://`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    is_scheme.then(|| &text[..scheme.len() + 3])
}

fn mask_one(url: &str) -> String {
    let Some((before, place)) = url.rsplit_once('@') else {
        return mask_query(&mask_port(url));
    };
    let scheme = scheme(before).unwrap_or_default();
    let login = &before[scheme.len()..];
    if login.contains('?') {
        // The @ may belong to a password among the parameters.
        return format!("{scheme}***");
    }
    let is_name = |text: &str| !text.contains([',', '@', '/']);
    let shown = match login.split_once(':') {
        Some((name, password)) if is_name(name) && !password.is_empty() => format!("{name}:***"),
        // A name alone may be a token.
        _ => "***".to_owned(),
    };
    format!("{scheme}{shown}@{}", mask_query(place))
}

/// What stands in place of a port and is none may be a password whose `@` and host are missing.
fn mask_port(url: &str) -> String {
    let Some(scheme) = scheme(url) else {
        return url.to_owned();
    };
    let rest = &url[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].split_once(':') {
        Some((name, port))
            if !name.starts_with('[') && !port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            format!("{scheme}{name}:***")
        }
        _ => url.to_owned(),
    }
}

/// Parameters whose names say that they hold a secret.
const SECRET_PARAMETERS: [&str; 5] = ["password", "token", "secret", "key", "auth"];

/// Connection strings may carry the password among their parameters.
fn mask_query(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _))
            if SECRET_PARAMETERS
                .iter()
                .any(|one| name.to_lowercase().contains(one)) =>
        {
            format!("{name}=***")
        }
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(hide).collect();
    format!("{before}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_in_urls_are_masked() {
        for (url, shown) in [
            (
                "postgres://ada:secret@db:5432/x",
                "postgres://ada:***@db:5432/x",
            ),
            (
                "postgres://db/x?user=ada&password=secret&ssl=on",
                "postgres://db/x?user=ada&password=***&ssl=on",
            ),
            ("postgres://ada:secret?secret@db/x", "postgres://***"),
            (
                "postgres://db/x?user=ada&password=secret@secret",
                "postgres://***",
            ),
            ("nats://secret@a:4222", "nats://***@a:4222"),
            ("secret@a:4222", "***@a:4222"),
            ("nats://u:@a", "nats://***@a"),
            ("nats://u:secret", "nats://u:***"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            (
                "nats://u:secret@a,nats://v:secret@b:1",
                "nats://u:***@a,nats://v:***@b:1",
            ),
            ("nats://u:secret@a,secret@b,c", "nats://u:***@b,c"),
            ("nats://a,u:secret@b", "nats://***@b"),
            ("nats://a,nats://secret@b", "nats://a,nats://***@b"),
            ("nats://u:sec@secret@a", "nats://u:***@a"),
            ("nats://u:secret,secret@a", "nats://u:***@a"),
            ("nats://u:secret/sec://secret@a", "nats://u:***@a"),
            ("nats://u:secret%zz@a", "nats://u:***@a"),
            ("u:secret://secret@a", "u:***@a"),
            (
                "https://h/p?Access_Token=secret,secret&x=1",
                "https://h/p?Access_Token=***&x=1",
            ),
            (
                "nats://127.0.0.1:4222,nats://b",
                "nats://127.0.0.1:4222,nats://b",
            ),
            (
                "sqlite:devtrail-data/devtrail.db",
                "sqlite:devtrail-data/devtrail.db",
            ),
        ] {
            assert_eq!(mask(url), shown, "{url}");
        }
    }

    #[test]
    fn time_spans_need_their_unit() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(
            parse_duration("10").is_err()
                && parse_duration("s").is_err()
                && parse_duration("").is_err()
        );
    }

    #[test]
    fn rates_are_whole_numbers_a_second() {
        assert_eq!(["0", "50", "50/s"].map(parse_rate), [Ok(0), Ok(50), Ok(50)]);
        for bad in ["", "/s", "5/m", "1.5", "+5", "-1", "many", "4294967296"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_to_listen_on_are_checked_and_kept() {
        for good in ["127.0.0.1:0", "0.0.0.0:8787", "[::1]:8787", "localhost:1"] {
            assert_eq!(parse_address(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "8787",
            ":8787",
            "localhost",
            "a:b",
            "a:99999",
            "::1:8787",
            "[x]:1",
            "http://a:1",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_as_a_browser_writes_it() {
        for (written, origin) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            (
                "chrome-extension://abcdefghijklmnop",
                "chrome-extension://abcdefghijklmnop",
            ),
            (
                "moz-extension://6f3a9c1e-7c1e-4b50-8d0c-000000000001",
                "moz-extension://6f3a9c1e-7c1e-4b50-8d0c-000000000001",
            ),
            ("vscode-webview://1B2C", "vscode-webview://1B2C"),
        ] {
            assert_eq!(parse_origin(written).unwrap(), origin);
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/x",
            "https://*.example",
            "https://me@app.example",
            "https://app.example?x",
            "https://app example",
            "https://app.example:port",
            "https//app.example",
            "://app.example",
        ] {
            let error = parse_origin(bad).unwrap_err();
            assert!(error.contains("is no origin"), "{bad}: {error}");
        }
    }
}
