//! Binds the socket of a capture to its interface anew. In: the socket and the interface's name. Out: a socket that hears the
//! interface that bears the name now.
//!
//! The rule: nobody is asked for a new socket, which only a privileged process gets. A packet socket outlives its interface,
//! and whoever holds one may bind it again (packet(7)); its ring and its filter stay as they are.

#![allow(
    unsafe_code,
    reason = "no crate of ours makes the address of a packet socket"
)]

use std::io::{Error, ErrorKind, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, RawFd};

use nix::libc;

/// An interface as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its number; another one when it was made again.
    pub(super) index: libc::c_int,
    /// Its kind (ARPHRD), on which the frames' link type depends.
    kind: libc::sa_family_t,
}

/// What bears `name` now.
///
/// # Errors
/// `ENODEV` where nothing does.
pub(super) fn look(socket: &impl AsRawFd, name: &str) -> Result<Known> {
    let socket = socket.as_raw_fd();
    let number = request(socket, name, libc::SIOCGIFINDEX as libc::c_ulong)?;
    let kind = request(socket, name, libc::SIOCGIFHWADDR as libc::c_ulong)?;
    // SAFETY: the kernel has filled the field of the union that each request stands for (netdevice(7)).
    Ok(unsafe {
        Known {
            index: number.ifr_ifru.ifru_ifindex,
            kind: kind.ifr_ifru.ifru_hwaddr.sa_family,
        }
    })
}

/// Binds `socket`, which heard `before`, to `now`; in promiscuous mode where that is wanted.
///
/// # Errors
/// Those of bind(2); an interface of another kind, whose frames would be taken for what they are not.
pub(super) fn bind(
    socket: &impl AsRawFd,
    before: Known,
    now: Known,
    promiscuous: bool,
) -> Result<()> {
    if before.kind != now.kind {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "it came back as an interface of another kind",
        ));
    }
    let socket = socket.as_raw_fd();
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = now.index;
    // SAFETY: the address lives through the call and is as long as is said.
    let bound = unsafe { libc::bind(socket, (&raw const address).cast(), length(&address)) };
    succeeded(bound)?;
    if promiscuous {
        // SAFETY: as above.
        let mut wish: libc::packet_mreq = unsafe { zeroed() };
        wish.mr_ifindex = now.index;
        wish.mr_type = libc::PACKET_MR_PROMISC as libc::c_ushort;
        // SAFETY: the wish lives through the call and is as long as is said.
        let set = unsafe {
            let value = (&raw const wish).cast();
            let membership = libc::PACKET_ADD_MEMBERSHIP;
            libc::setsockopt(socket, libc::SOL_PACKET, membership, value, length(&wish))
        };
        // An interface that has no such mode is heard without, as at first.
        let _ = succeeded(set);
    }
    Ok(())
}

fn request(socket: RawFd, name: &str, what: libc::c_ulong) -> Result<libc::ifreq> {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays the zero that ends the name.
    if name.len() >= request.ifr_name.len() {
        return Err(Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: both requests read the name and fill the union of this very structure.
    let answered = unsafe { libc::ioctl(socket, what as _, &raw mut request) };
    succeeded(answered)?;
    Ok(request)
}

fn length<T>(_: &T) -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn succeeded(code: libc::c_int) -> Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn an_interface_is_known_by_its_name() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let loopback = look(&socket, "lo").unwrap();
        assert!(loopback.index > 0);
        assert_eq!(loopback.kind, libc::ARPHRD_LOOPBACK);
        for nobody in ["nosuch0", "a-name-that-is-longer-than-any", ""] {
            let error = look(&socket, nobody).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{nobody:?}");
        }
    }

    #[test]
    fn another_kind_is_refused_before_anything_is_done() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let loopback = look(&socket, "lo").unwrap();
        let before = Known {
            kind: libc::ARPHRD_ETHER,
            ..loopback
        };
        let error = bind(&socket, before, loopback, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
