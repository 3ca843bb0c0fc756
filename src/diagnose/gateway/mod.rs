//! The gateway products. Growth: a file `gateway/x.rs` and a row in `GATEWAYS`.
pub mod product;
use crate::protocol::observation::ResponseHead;
use product::*;
/// stub
pub const GATEWAYS: &[&Product] = &[];
/// stub
pub fn recognise(_h: &ResponseHead, _b: &[u8]) -> Option<(&'static Product, Recognised)> {
    None
}
/// stub
pub fn recognise_server(_s: &str) -> Option<(&'static Product, Recognised)> {
    None
}
/// stub
pub fn status_fits(_p: &Product, _c: &str, _s: Option<u16>) -> Option<bool> {
    None
}
/// stub
pub fn timer_that_equals(
    _p: Option<&'static Product>,
    _w: Wait,
    _m: f64,
) -> Vec<(&'static Product, &'static Timer)> {
    vec![]
}
