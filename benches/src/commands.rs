//! Commands to feed the engine with.

use sluice_core::command::{Buyer, Command, DefineSku, Key, Place, PlaceLine, ReceiveLot};
use sluice_core::id::{HashKey, OrderId, RequestId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::quantity::{QUANTITY_MAX, Quantity};
use sluice_core::time::Timestamp;
use smallvec::smallvec;

/// The hash key of benchmarks.
pub const HASH_KEY: HashKey = HashKey::new([9; 16]);

/// Where the time of benchmarks begins.
pub const BEGIN: Timestamp = Timestamp::from_micros(1_794_355_200_000_000);

/// A SKU's name.
///
/// # Panics
/// If it is not a name.
pub fn sku(name: &str) -> SkuId {
    SkuId::new(name).expect("a name")
}

/// Creates a SKU without a limit per buyer.
pub fn define(name: &str) -> Command {
    Command::DefineSku(Box::new(DefineSku {
        sku: sku(name),
        title: Box::from(name),
        unit_price: Amount::new(599_900).expect("in range"),
        currency: Currency::new("CNY").expect("a code"),
        per_buyer_limit: 0,
        hold_seconds: 600,
        standby_pass: false,
        if_revision: None,
        request: RequestId::NONE,
    }))
}

/// Receives the `number`th lot of the largest size.
pub fn receive(name: &str, number: u32) -> Command {
    Command::ReceiveLot(Box::new(ReceiveLot {
        sku: sku(name),
        lot: LotId::new(&format!("L{number}")).expect("a name"),
        quantity: Quantity::new(QUANTITY_MAX).expect("in range"),
        unit_price: None,
        request: RequestId::NONE,
    }))
}

/// An order of one unit by the `number`th buyer, with a key of its own.
pub fn place(buyer: &Buyer, sku: SkuId, number: u64) -> Box<Place> {
    let lines = smallvec![PlaceLine { sku, quantity: Quantity::ONE }];
    Box::new(Place {
        order: OrderId::new(BEGIN, 1, buyer.slot, random(number)),
        key: Some(Key::new(&HASH_KEY, buyer, &format!("order-{number}"))),
        fingerprint: Place::fingerprint_of(&lines, false, None),
        buyer: buyer.clone(),
        lines,
        standby: false,
        max_amount: None,
        request: RequestId::from_bits(u128::from(number)),
    })
}

/// What a gateway would draw for the `number`th order: SplitMix64 (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators"), without a state.
pub fn random(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

/// The `number`th buyer.
pub fn buyer(number: u64) -> Buyer {
    Buyer::new(&HASH_KEY, &format!("buyer-{number}"))
}
