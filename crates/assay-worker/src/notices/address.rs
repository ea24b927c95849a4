//! Where a webhook is connected to: the name is looked up at every try, every address that it has is checked, and only
//! what was checked is connected to. So a name that leads inside, now or at the next look, reaches nothing.

use std::net::SocketAddr;

use assay_core::{Reach, WebhookUrl};
use tokio::net::lookup_host;

/// Why there is nowhere to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// The name could not be looked up; it may be later.
    Unknown,
    /// It leads to an address that notices may not be sent to.
    Refused,
}

/// The addresses of a receiver, all of them within reach.
pub(super) async fn resolve(url: &WebhookUrl, reach: &Reach) -> Result<Vec<SocketAddr>, Unreachable> {
    let url = url.as_url();
    let port = url.port_or_known_default().ok_or(Unreachable::Unknown)?;
    let found: Vec<SocketAddr> = match url.host().ok_or(Unreachable::Unknown)? {
        url::Host::Ipv4(address) => vec![(address, port).into()],
        url::Host::Ipv6(address) => vec![(address, port).into()],
        url::Host::Domain(name) => {
            let found = lookup_host((name, port)).await.map_err(|_| Unreachable::Unknown)?;
            found.collect()
        }
    };
    check(found, reach)
}

/// One address inside is enough to refuse the name: whoever set it up did not mean a public receiver.
fn check(found: Vec<SocketAddr>, reach: &Reach) -> Result<Vec<SocketAddr>, Unreachable> {
    if found.is_empty() {
        return Err(Unreachable::Unknown);
    }
    match found.iter().all(|address| reach.covers(address.ip())) {
        true => Ok(found),
        false => Err(Unreachable::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_address_of_a_name_is_checked() {
        let public = addresses(&["8.8.8.8:443", "[2606:4700::1]:443"]);
        assert_eq!(check(public.clone(), &Reach::default()), Ok(public.clone()));
        for inside in [
            "127.0.0.1:443",
            "[::1]:443",
            "169.254.169.254:443",
            "[64:ff9b::a00:1]:443",
        ] {
            let mixed = [public.clone(), addresses(&[inside])].concat();
            assert_eq!(check(mixed, &Reach::default()), Err(Unreachable::Refused), "{inside}");
        }
        assert_eq!(check(Vec::new(), &Reach::default()), Err(Unreachable::Unknown));
    }

    #[tokio::test]
    async fn names_of_this_machine_are_seen_through() {
        for url in [
            "http://localhost:9/",
            "http://127.1:9/",
            "http://0x7f000001/",
            "http://[::ffff:7f00:1]/",
        ] {
            let url: WebhookUrl = url.parse().unwrap();
            let refused = resolve(&url, &Reach::default()).await;
            assert_eq!(refused, Err(Unreachable::Refused), "{}", url.as_str());
        }
        let reach = Reach {
            allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        };
        let url: WebhookUrl = "http://localhost:9/".parse().unwrap();
        assert!(!resolve(&url, &reach).await.unwrap().is_empty());
    }
}
