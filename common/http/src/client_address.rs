//! Whose request it is, as far as an address tells; behind a trusted proxy, as its `X-Forwarded-For` tells.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The bits of an IPv6 address that name a site: who has one address of them has them all.
const SITE_BITS: u32 = 64;

/// Whom a connection or a request counts for: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Whom this address counts for. An IPv4 address written as IPv6 is the same as itself.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask(SITE_BITS))),
            v4 => v4,
        })
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/{SITE_BITS}"),
        }
    }
}

/// The first `bits` of 128.
fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or_default()
}

/// Addresses that have their first bits in common, as `10.0.0.0/8` or one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: u128,
    /// How many of the 128 bits are in common; an IPv4 address stands for the IPv6 one that maps it.
    bits: u32,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        (mapped(address) ^ self.first) & mask(self.bits) == 0
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is neither an address nor a network; write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"
            )
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        let (before, most) = match address {
            IpAddr::V4(_) => (96, 32),
            IpAddr::V6(_) => (0, 128),
        };
        let length = match length {
            None => most,
            Some(length) => length.trim().parse().map_err(|_| bad())?,
        };
        if length > most {
            return Err(bad());
        }
        let bits = before + length;
        if mapped(address) & !mask(bits) != 0 {
            return Err(format!(
                "{text:?} has bits set beyond its first {length}; write the network's own address"
            ));
        }
        Ok(Self {
            first: mapped(address),
            bits,
        })
    }
}

/// The proxies whose `X-Forwarded-For` is believed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[Network]>);

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl TrustedProxies {
    /// Whether the address is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whom a request counts for that came from `peer` with these headers.
    ///
    /// That is the peer, unless it is a trusted proxy: then the rightmost address of `X-Forwarded-For` that is none.
    /// If all of them are, it is the leftmost. If the header is absent, or what is to be read of it is no address, it
    /// is the proxy: what it does not tell, nobody else can.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let own = ClientAddress::of(peer);
        if !self.trusts(peer) {
            return own;
        }
        let mut client = own;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for line in lines {
            // Bytes that are no text are no address.
            for hop in line.to_str().unwrap_or("?").rsplit(',') {
                let Some(address) = address(hop.trim()) else {
                    return own;
                };
                client = ClientAddress::of(address);
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }
}

/// An address of `X-Forwarded-For`: some proxies write its port as well, and IPv6 in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let parsed = bare.unwrap_or(hop).parse();
    parsed
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn counts_for(text: &str) -> String {
        ClientAddress::of(ip(text)).to_string()
    }

    #[test]
    fn an_ipv4_counts_by_itself_and_an_ipv6_by_its_site() {
        assert_eq!(counts_for("192.0.2.1"), "192.0.2.1");
        assert_eq!(counts_for("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(counts_for("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(counts_for("2001:db8:1:2::1"), "2001:db8:1:2::/64");
        assert_ne!(counts_for("2001:db8:1:3::1"), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_network_is_an_address_or_the_first_bits_of_some() {
        let network = |text: &str| text.parse::<Network>();
        for (text, inside, outside) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::a00:1"),
            ("2001:db8::/32", "2001:db8:9::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            let network = network(text).unwrap();
            assert!(
                network.contains(ip(inside)) && !network.contains(ip(outside)),
                "{text}"
            );
        }
        assert!(network("::/0").unwrap().contains(ip("2001:db8::1")));
        for bad in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.1:80",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trusted_proxy_tells_whose_request_it_is_and_nobody_else() {
        let proxies: TrustedProxies = ["10.0.0.0/8", "fd00::/8"]
            .map(|text| text.parse().unwrap())
            .into_iter()
            .collect();
        let client = |peer: &str, lines: &[&str]| {
            let headers = lines
                .iter()
                .map(|line| (FORWARDED_FOR, line.parse().unwrap()));
            proxies.client(ip(peer), &headers.collect()).to_string()
        };
        for (peer, lines, expected) in [
            ("10.0.0.1", &["192.0.2.7"][..], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            (
                "10.0.0.1",
                &["198.51.100.1, 192.0.2.7,10.0.0.2"],
                "192.0.2.7",
            ),
            (
                "10.0.0.1",
                &["198.51.100.1", "192.0.2.7", "10.0.0.2 "],
                "192.0.2.7",
            ),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("fd00::1", &["[2001:db8::5]:80"], "2001:db8::/64"),
            ("fd00::1", &["[2001:db8::5]"], "2001:db8::/64"),
            // What stands left of an untrusted one, anybody can write.
            ("10.0.0.1", &["garbage, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
            // A bad header counts as the proxy's own.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7,"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7", "nobody"], "10.0.0.1"),
            // Nobody else is believed.
            ("192.0.2.1", &["192.0.2.7"], "192.0.2.1"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
