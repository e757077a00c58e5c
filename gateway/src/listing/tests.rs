//! What the two halves of a page come to together, and what is left of it without the copy.

use sluice_core::event::{Lines, OrderStatus};
use sluice_core::id::OrderId;
use sluice_core::money::Currency;
use sluice_core::outcome::{OrderPage, OrderView};
use sluice_core::time::Timestamp;

use super::{Place, cursor, merged, place_at, place_of, young};

const LIMIT: usize = 3;

fn at(micros: u64, id: u128) -> Place {
    (Timestamp::from_micros(micros), OrderId::from_bits(id))
}

fn page(places: &[Place], next: Option<Place>) -> OrderPage {
    let view = |&(created_at, order): &Place| OrderView {
        order,
        version: 1,
        status: OrderStatus::Cancelled,
        amount: None,
        currency: Currency::new("CNY").expect("a currency"),
        created_at,
        expires_at: created_at,
        lines: Lines::new(),
        waits: None,
    };
    OrderPage { orders: places.iter().map(view).collect(), next }
}

fn shown(page: &OrderPage) -> (Vec<Place>, Option<Place>) {
    (page.orders.iter().map(place_of).collect(), page.next)
}

/// Both merged, where orders of 100 or later are all in the ledger.
fn both(
    live: (&[Place], Option<Place>),
    retired: (&[Place], Option<Place>),
) -> (Vec<Place>, Option<Place>) {
    let since = Timestamp::from_micros(100);
    shown(&merged(page(live.0, live.1), page(retired.0, retired.1), since, LIMIT))
}

#[test]
fn a_cursor_comes_back() {
    let place = at(1 << 50, 7);
    let bytes = cursor(place);
    assert_eq!(place_at(&bytes), Some(place));
    for wrong in [&[][..], &bytes[1..], &[&bytes[..], &[0]].concat()] {
        assert_eq!(place_at(wrong), None);
    }
}

#[test]
fn both_stand_in_one_order() {
    let all = both((&[at(90, 1), at(50, 1)], None), (&[at(50, 2)], None));
    assert_eq!(all, (vec![at(90, 1), at(50, 2), at(50, 1)], None));
    assert_eq!(both((&[], None), (&[], None)), (Vec::new(), None));
}

#[test]
fn a_page_that_is_cut_goes_on_behind_its_last_order() {
    let cut = both((&[at(90, 1), at(50, 1)], None), (&[at(80, 1), at(70, 1)], None));
    assert_eq!(cut, (vec![at(90, 1), at(80, 1), at(70, 1)], Some(at(70, 1))));
}

#[test]
fn a_page_goes_as_far_as_both_do() {
    // The ledger looked as far as 60: what is older may have live orders before it.
    let live_ends = both((&[at(90, 1)], Some(at(60, 5))), (&[at(60, 7), at(40, 1)], None));
    assert_eq!(live_ends, (vec![at(90, 1), at(60, 7)], Some(at(60, 5))));
    // The copy showed as many as it was asked for; some of them were not gone.
    let copy_ends = both((&[at(20, 1)], None), (&[at(80, 1)], Some(at(30, 1))));
    assert_eq!(copy_ends, (vec![at(80, 1)], Some(at(30, 1))));
}

#[test]
fn what_cannot_have_left_came_later() {
    let later = both((&[at(90, 1)], None), (&[at(100, 1), at(99, 1)], None));
    assert_eq!(later, (vec![at(99, 1), at(90, 1)], None));
}

#[test]
fn without_the_copy_a_page_ends_before_what_may_be_missing() {
    let since = Timestamp::from_micros(100);
    let whole = page(&[at(120, 1), at(100, 1), at(99, 1)], None);
    let kept = young(whole, since).as_ref().map(shown);
    assert_eq!(kept, Some((vec![at(120, 1), at(100, 1)], Some(at(100, 1)))));
    assert_eq!(young(page(&[at(99, 1)], None), since), None);
    assert_eq!(young(page(&[], None), since), None);
}
