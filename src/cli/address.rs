//! Addresses to listen on, as people type them. In: a word. Out: an address and a port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address for others to connect to: a bare port is this machine's alone. Names but `localhost` are not looked up.
pub fn listening(word: &str) -> Result<SocketAddr, String> {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let (host, port) = match word.parse::<SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => {
            let port = word.strip_prefix("localhost:").unwrap_or(word);
            (local, port.parse().ok())
        }
    };
    port.filter(|port| *port > 0)
        .map(|port| SocketAddr::new(host, port))
        .ok_or_else(|| {
            "a port (9100), or an address and a port (127.0.0.1:9100, [::1]:9100; 0.0.0.0:9100 is for everybody)"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_is_local() {
        for (word, address) in [
            ("9100", "127.0.0.1:9100"),
            ("localhost:9100", "127.0.0.1:9100"),
            ("0.0.0.0:9100", "0.0.0.0:9100"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(listening(word).unwrap().to_string(), address, "{word}");
        }
        for word in [
            "",
            "0",
            ":9100",
            "65536",
            "example.org:9100",
            "1.2.3.4",
            "-1",
        ] {
            assert!(listening(word).is_err(), "{word}");
        }
    }
}
