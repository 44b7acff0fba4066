//! Where a request comes from, when proxies stand in between.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address of the client: the peer, unless the peer is a trusted proxy; then the last address in `x-forwarded-for`
/// that is not itself a trusted proxy, of which `forwarded` are the values. What stands further left was written by the client and proves nothing.
pub(crate) fn client_address<'h>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'h [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let forwarded: Vec<&str> = forwarded
        .into_iter()
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in forwarded.iter().rev() {
        if !trusted(&client) {
            break;
        }
        let Some(address) = parse(hop.trim()) else { break };
        client = address;
    }
    client
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse::<IpAddr>()
        .ok()
        .or_else(|| {
            hop.parse::<std::net::SocketAddr>()
                .ok()
                .map(|address| address.ip())
        })
        .or_else(bracketed)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect();
        let forwarded = forwarded.iter().map(|value| value.as_bytes());
        client_address(peer.parse().expect("an address"), forwarded, &trusted).to_string()
    }

    #[test]
    fn header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(seen("203.0.113.9", &["10.0.0.1"], &[]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["10.0.0.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn first_address_that_is_no_proxy_counts() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"], &proxies), "198.51.100.7");
        assert_eq!(
            seen("10.0.0.1", &["198.51.100.7, 10.0.0.2"], &proxies),
            "198.51.100.7"
        );
        assert_eq!(
            seen("10.0.0.1", &["198.51.100.7", "10.0.0.2"], &proxies),
            "198.51.100.7"
        );
    }

    #[test]
    fn client_cannot_claim_an_address_through_a_proxy() {
        assert_eq!(
            seen("10.0.0.1", &["127.0.0.1, 198.51.100.7"], &["10.0.0.0/8"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(
            seen("::ffff:10.0.0.1", &["198.51.100.7:4711"], &proxies),
            "198.51.100.7"
        );
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]"], &proxies), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:443"], &proxies), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["unknown"], &proxies), "10.0.0.1");
    }
}
