//! The address of a collector as people have it at hand. Pure.

use reqwest::Url;
use runtime::settings::{Address, SecretParser};

/// Addresses of routes, which people take for the collector's. The longer of two ends comes first.
const ROUTES: [&str; 11] = [
    "/api/v1/users/current/heartbeats.bulk",
    "/api/v1/users/current/heartbeats",
    "/api/v1/users/current",
    "/api/v1",
    "/v1/events",
    "/v1/alerts/stream",
    "/v1/alerts",
    "/v1",
    "/health/live",
    "/health/ready",
    "/openapi.json",
];

/// The address of a collector, as a flag takes it; a route's own address behind it is left out.
pub const COLLECTOR_ADDRESS: SecretParser<Address> = SecretParser::new(parse);

fn parse(text: &str) -> Result<Address, String> {
    let given = Address::http(text.trim())?;
    let mut url = Url::parse(given.expose()).map_err(|error| error.to_string())?;
    for (part, is_there) in [
        ("query (from ? on)", url.query().is_some()),
        ("fragment (from # on)", url.fragment().is_some()),
    ] {
        if is_there {
            return Err(format!(
                "it has a {part}, and a collector's address has none; write http://host:port alone, and the key in a \
                 file (--key-file)"
            ));
        }
    }
    let segments: Vec<&str> = url
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let path: String = segments
        .iter()
        .map(|segment| format!("/{segment}"))
        .collect();
    let base = ROUTES.iter().find_map(|route| path.strip_suffix(route));
    url.set_path(base.unwrap_or(&path));
    Ok(Address::new(url.as_str().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    fn parse(text: &str) -> Result<String, String> {
        super::parse(text).map(|address| address.expose().to_owned())
    }

    #[test]
    fn near_misses_are_taken() {
        for path in [
            "",
            "/",
            "//",
            "/v1/events",
            "/v1/events/",
            "/v1/alerts/stream",
            "//v1//events",
            "/v1",
            "/v1/",
            "/api/v1",
            "/api/v1/users/current/heartbeats.bulk",
            "/health/ready",
        ] {
            for host in ["http://127.0.0.1:8787", "https://[::1]"] {
                assert_eq!(
                    parse(&format!("{host}{path}")).as_deref(),
                    Ok(host),
                    "{path}"
                );
            }
        }
        let behind_a_proxy = parse("http://u:p@example.org/devtrail/v1/events");
        assert_eq!(
            behind_a_proxy.as_deref(),
            Ok("http://u:p@example.org/devtrail"),
            "a proxy's own part stays"
        );
    }

    #[test]
    fn others_are_refused_with_the_remedy() {
        for (text, part) in [
            ("http://a/v1/events?api_key=secret", "has a query"),
            ("http://a/#secret", "has a fragment"),
            ("a:8787", "write http://host:port"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }
}
