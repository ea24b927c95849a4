//! Where notices may be sent: which network addresses are public, and what the URL of a webhook may look like.
//!
//! The rules only; names are looked up and addresses are connected to in `assay-worker`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

use crate::{Code, Error, Result};

const MAX_URL_CHARS: usize = 2_000;
const MAX_EMAIL_CHARS: usize = 254;

/// IPv4 addresses that are not reached through the public internet, or reach back inside: network and prefix length.
const NOT_PUBLIC_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // The platform behind every virtual machine of one large cloud.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All of IPv6 that is public lies here …
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// … except these: protocol assignments with Teredo, documentation, 6to4, a sink of reverse lookups, documentation.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn within_v4(address: Ipv4Addr, (network, prefix): (Ipv4Addr, u8)) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}

fn within_v6(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u8)) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}

/// Whether an address is reached through the public internet and nowhere else.
///
/// Addresses that wrap an IPv4 address (mapped, NAT64, 6to4, Teredo) never are: what they wrap may lie inside.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| within_v4(address, *network)),
        IpAddr::V6(address) => {
            within_v6(address, GLOBAL_V6) && !NOT_PUBLIC_V6.iter().any(|network| within_v6(address, *network))
        }
    }
}

/// A range of addresses in CIDR notation, e.g. `10.1.0.0/16`; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => within_v4(address, (network, self.prefix)),
            (IpAddr::V6(network), IpAddr::V6(address)) => within_v6(address, (network, self.prefix)),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
            let widest = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Some(widest), |prefix| prefix.parse().ok())?;
            (prefix <= widest).then_some(Self { address, prefix })
        });
        parsed.ok_or_else(|| {
            Error::new(
                Code::InvalidParameter,
                format!("`{text}` is not a network in CIDR notation"),
            )
            .hint("networks look like `10.1.0.0/16`, `192.168.1.7` or `fd00::/8`")
        })
    }
}

/// Which addresses notices may be sent to: the public ones, and networks that the keeper of the server allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    pub allowed: Vec<Network>,
}

impl Reach {
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(plain))
    }
}

/// The address of a receiver of webhooks: `http` or `https`, a host, and no user or password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// # Errors
    /// `AddressRefused` when the host is written as an address that `reach` does not cover. Names are not looked up.
    pub fn check(&self, reach: &Reach) -> Result<()> {
        let literal = match self.0.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if reach.covers(literal) {
            return Ok(());
        }
        Err(Error::new(
            Code::AddressRefused,
            format!("notices are not sent to `{literal}`: it is not a public address"),
        )
        .hint("name a public receiver, or have the keeper of the server allow its network with `--notify-allow`"))
    }

    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port: who receives.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for WebhookUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |reason: &str| {
            let shown: String = text.chars().take(200).collect();
            Error::new(
                Code::InvalidParameter,
                format!("`{shown}` cannot be the address of a webhook: {reason}"),
            )
            .hint("addresses look like `https://example.org/hooks/assay`")
        };
        if text.len() > MAX_URL_CHARS {
            return Err(refused("it is longer than 2,000 characters"));
        }
        let url = Url::parse(text).map_err(|_| refused("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("only `https` and `http` are spoken"));
        }
        if url.host_str().is_none_or(str::is_empty) || url.port_or_known_default().is_none_or(|port| port == 0) {
            return Err(refused("it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // The text holds a password: it is not repeated.
            return Err(Error::new(
                Code::InvalidParameter,
                "the address of a webhook may not hold a user or a password",
            )
            .hint("receivers know Assay by the signature; see the guide on notices"));
        }
        Ok(Self(url))
    }
}

/// An address that mail can be sent to: plain ASCII, one `@`, a name and a domain.
///
/// # Errors
/// `InvalidParameter`.
pub fn check_email(text: &str) -> Result<()> {
    let is_name = |name: &str| {
        let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c);
        (1..=64).contains(&name.len()) && name.chars().all(is_sign) && name.split('.').all(|part| !part.is_empty())
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_good = text.len() <= MAX_EMAIL_CHARS
        && text
            .rsplit_once('@')
            .is_some_and(|(name, domain)| is_name(name) && domain.split('.').all(is_label));
    if is_good {
        return Ok(());
    }
    let shown: String = text.chars().take(100).collect();
    Err(
        Error::new(Code::InvalidParameter, format!("`{shown}` is not an e-mail address"))
            .hint("addresses look like `anna@example.org`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(url: &str, reach: &Reach) -> Result<(), Code> {
        let url: WebhookUrl = url.parse().map_err(|error: Error| error.code)?;
        url.check(reach).map_err(|error| error.code)
    }

    #[test]
    fn only_public_addresses_are_public() {
        let inside = [
            "0.0.0.0",
            "0.255.1.1",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.7",
            "203.0.113.9",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:53aa::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in inside {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let outside = [
            "8.8.8.8",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1",
            "2a00:1450::1",
        ];
        for text in outside {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_in_disguise_are_seen_through() {
        let nowhere = Reach::default();
        for url in [
            "http://127.0.0.1:9/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1]:80/x",
            "https://169.254.169.254/latest",
            "http://0/",
            "http://１２７.０.０.１/",
            "http://127。0。0。1/",
            "http://[64:ff9b::7f00:1]/",
            "http://10.0.0.1@192.168.0.1:80/",
        ] {
            assert!(code(url, &nowhere).is_err(), "{url}");
        }
        assert_eq!(code("http://2130706433/", &nowhere), Err(Code::AddressRefused));
        for url in [
            "https://example.org/a?b=c",
            "http://8.8.8.8/",
            "https://[2606:4700::1]:8443/",
        ] {
            assert_eq!(code(url, &nowhere), Ok(()), "{url}");
        }
    }

    #[test]
    fn allowed_networks_are_reached() {
        let reach = Reach {
            allowed: vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        for (url, fine) in [
            ("http://127.0.0.1/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[fd12::1]/", true),
            ("http://10.0.0.1/", false),
            ("http://[::1]/", false),
            ("http://[fc00::1]/", false),
        ] {
            assert_eq!(code(url, &reach).is_ok(), fine, "{url}");
        }
        for bad in ["127.0.0.0/33", "x", "::/129", "10.0.0.0/", "/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert!(
            "0.0.0.0/0"
                .parse::<Network>()
                .unwrap()
                .contains("10.1.1.1".parse().unwrap())
        );
    }

    #[test]
    fn urls_that_cannot_be_a_webhook_are_refused_without_their_password() {
        let nowhere = Reach::default();
        for url in [
            "",
            "example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            "http://",
            "http://a:0/",
            "http:// a/",
        ] {
            assert_eq!(code(url, &nowhere), Err(Code::InvalidParameter), "{url}");
        }
        let error = "https://anna:hunter2@example.org/".parse::<WebhookUrl>().unwrap_err();
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }

    #[test]
    fn mail_addresses_are_plain() {
        for good in ["anna@example.org", "a.b+c@x-y.example", "root@localhost"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "anna",
            "@x.org",
            "anna@",
            "a b@x.org",
            "a@x..org",
            "a@-x.org",
            ".a@x.org",
            "a..b@x.org",
            "a@x.org\r\nBcc: b@y.org",
            "<a@x.org>",
            "a@x.org,b@y.org",
            "ä@x.org",
            "a@b@x.org",
        ] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
