//! The gateway products. Growth: a file `gateway/x.rs` and a row in `GATEWAYS`.
pub mod product;

use product::Product;

/// All products that are known.
pub const GATEWAYS: &[&Product] = &[];
