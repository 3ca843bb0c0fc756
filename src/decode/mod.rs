//! From a frame to the segment, datagram or ICMP error that it carries.
pub mod segment;
