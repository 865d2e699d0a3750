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

/// Reads an `http` or `https` URL.
///
/// # Errors
/// Returns a sentence if the text is not one.
pub fn parse_http_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let bad = || "is no HTTP URL; write http://host:port".to_owned();
    url.filter(|url| url.has_host())
        .map(|_| text.to_owned())
        .ok_or_else(bad)
}

/// A URL, or several with commas between, without passwords and tokens.
///
/// If it is not clear what belongs to a secret, more is hidden rather than less.
pub(super) fn mask(urls: &str) -> String {
    let mut parts = urls.split('@');
    let mut masked = String::new();
    let mut last = parts.next().unwrap_or_default();
    for (index, next) in parts.enumerate() {
        // Between two @ there is a host, a comma and the next user; without a comma, more of a secret.
        let user = if index == 0 {
            last
        } else if let Some((host, user)) = last.split_once(',') {
            masked += &format!("@{host},");
            user
        } else {
            last = next;
            continue;
        };
        let (scheme, user) = user
            .rsplit_once("://")
            .map_or(("", user), |(scheme, user)| (scheme, user));
        if !scheme.is_empty() {
            masked += &format!("{scheme}://");
        }
        masked += &user
            .split_once(':')
            .map_or("***".to_owned(), |(name, _)| format!("{name}:***"));
        last = next;
    }
    if !masked.is_empty() {
        masked.push('@');
    }
    masked += last;
    mask_query(&masked)
}

/// Connection strings may carry the password among their parameters.
fn mask_query(url: &str) -> String {
    let Some((before, rest)) = url.split_once("password=") else {
        return url.to_owned();
    };
    let after = rest.find(['&', ',']).map_or("", |at| &rest[at..]);
    format!("{before}password=***{}", mask_query(after))
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
            ("nats://secret@a:4222", "nats://***@a:4222"),
            ("secret@a:4222", "***@a:4222"),
            (
                "nats://u:secret@a,nats://v:secret@b:1",
                "nats://u:***@a,nats://v:***@b:1",
            ),
            ("nats://u:secret@a,secret@b,c", "nats://u:***@a,***@b,c"),
            ("nats://a,u:secret@b", "nats://a,u:***@b"),
            ("nats://u:sec@secret@a", "nats://u:***@a"),
            ("nats://u:secret,secret@a", "nats://u:***@a"),
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
    fn addresses_and_urls_are_checked_and_kept_as_they_are() {
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
        assert!(
            parse_http_url("http://127.0.0.1:8222").is_ok()
                && parse_http_url("https://a/b").is_ok()
        );
        for bad in ["", "a:8222", "127.0.0.1:8222", "ftp://a", "http://"] {
            assert!(parse_http_url(bad).is_err(), "{bad}");
        }
    }
}
