//! What the layers below IP have in common. In: nothing. Out: where an IP header starts, and why there is none.
//!
//! The rule: an id that both directions of a flow share is part of its overlay; one that differs by direction (MPLS
//! labels, the endpoint ids of GTP, MACsec channels) never is, because it would tear the flow apart.

use std::borrow::Cow;

use crate::flow::Overlay;

/// Where the IP header of a frame starts. Its own first four bits tell the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stripped {
    /// Bytes before the IP header.
    pub(super) offset: usize,
    /// The VLAN and tunnel ids that were passed on the way.
    pub(super) overlay: Overlay,
}

impl Stripped {
    pub(super) const fn plain(offset: usize) -> Self {
        Self {
            offset,
            overlay: Overlay(0),
        }
    }
}

/// Why a frame has no IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// It carries something else, or its link type is not known: the name for the report.
    Named(Cow<'static, str>),
    /// It was cut by the capture before the network protocol.
    Cut,
    /// It carries ARP, which starts there.
    Arp(Stripped),
}

impl Skip {
    pub(super) const fn named(name: &'static str) -> Self {
        Self::Named(Cow::Borrowed(name))
    }
}

/// Whose id it is: equal numbers of two kinds are two overlays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    Vlan(u16),
    Pppoe(u16),
    Gre(u32),
    Erspan(u16),
    Vxlan(u32),
    Geneve(u32),
}

/// Adds an id to an overlay: FNV-1a over the ids, outermost first.
pub(super) fn with_id(overlay: Overlay, id: Id) -> Overlay {
    let (kind, number) = match id {
        // Id 0 is a mere priority tag (802.1Q), and the frame belongs to the untagged network.
        Id::Vlan(0) => return overlay,
        Id::Vlan(id) => (1, u32::from(id)),
        Id::Pppoe(id) => (2, u32::from(id)),
        Id::Gre(key) => (3, key),
        Id::Erspan(session) => (4, u32::from(session)),
        Id::Vxlan(network) => (5, network),
        Id::Geneve(network) => (6, network),
    };
    let seed = match overlay {
        Overlay(0) => 0x811c_9dc5,
        Overlay(outer) => outer,
    };
    let [a, b, c, d] = number.to_be_bytes();
    let hash = [kind, a, b, c, d].iter().fold(seed, |hash, byte: &u8| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    Overlay(hash.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_numbers_and_order_make_overlays() {
        let none = Overlay::default();
        let one = with_id(none, Id::Vlan(7));
        assert_ne!(one, none);
        assert_eq!(with_id(none, Id::Vlan(0)), none);
        assert_ne!(one, with_id(none, Id::Vxlan(7)));
        assert_ne!(
            with_id(one, Id::Vxlan(9)),
            with_id(with_id(none, Id::Vxlan(9)), Id::Vlan(7))
        );
        // Fixed for ever: reports depend on it through the shard.
        assert_eq!(one, with_id(none, Id::Vlan(7)));
    }
}
