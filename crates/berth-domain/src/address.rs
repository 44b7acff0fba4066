//! Lists of network addresses from which a key may be used.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks in CIDR notation. An empty list admits every address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<String>)]
pub struct AddressList(Vec<IpNet>);

impl AddressList {
    /// The list of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a caller at `address` is admitted. An IPv4 address that arrives as IPv6 (`::ffff:…`) counts as IPv4.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(networks: &[&str]) -> AddressList {
        AddressList::new(
            networks
                .iter()
                .map(|network| network.parse().expect("a network"))
                .collect(),
        )
    }

    #[test]
    fn empty_list_admits_everyone() {
        assert!(list(&[]).admits(IpAddr::from([203, 0, 113, 9])));
    }

    #[test]
    fn address_outside_every_network_is_refused() {
        let office = list(&["198.51.100.0/24", "2001:db8::/32"]);
        assert!(office.admits(IpAddr::from([198, 51, 100, 7])));
        assert!(office.admits("2001:db8::1".parse().expect("an address")));
        assert!(!office.admits(IpAddr::from([203, 0, 113, 9])));
    }

    #[test]
    fn mapped_address_counts_as_ipv4() {
        assert!(list(&["198.51.100.0/24"]).admits("::ffff:198.51.100.7".parse().expect("an address")));
    }
}
