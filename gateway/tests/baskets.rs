//! Orders of several lines: all or nothing (I9).

use std::thread;

use serde_json::{Value, json};

use crate::shop::{Shop, id_of, refusal};

fn basket(lines: &[(&str, u32)]) -> Value {
    let items: Vec<Value> =
        lines.iter().map(|(sku, units)| json!({"sku": sku, "quantity": units})).collect();
    json!({"items": items})
}

#[test]
fn a_basket_holds_all_its_lines_or_none() {
    let shop = Shop::open(&["--shards", "2"]);
    for (sku, units) in [("a", 5), ("b", 1), ("c", 9)] {
        shop.sku(sku, units, 600);
    }
    let made = shop.order("alice", &basket(&[("c", 2), ("a", 1), ("b", 1)]));
    assert_eq!(made.status, 201, "{}", made.json());
    let shown = made.json();
    assert_eq!(shown["amount"], 2_000);
    let skus: Vec<&Value> =
        shown["items"].as_array().expect("a list").iter().map(|i| &i["sku"]).collect();
    assert_eq!(skus, ["a", "b", "c"]);
    for (lines, max, status, code) in [
        // What is refused first goes before what comes later, on whichever line it is.
        (vec![("b", 1), ("none", 1)], None, 404, "sku_not_found"),
        (vec![("a", 1), ("b", 1)], None, 409, "sold_out"),
        (vec![("a", 1), ("c", 1)], Some(999), 409, "price_changed"),
        (vec![("a", 1), ("a", 2)], None, 400, "invalid_request"),
    ] {
        let mut body = basket(&lines);
        if let Some(max) = max {
            body["max_amount"] = json!(max);
        }
        assert_eq!(refusal(&shop.order("bob", &body)), (status, code.to_owned()), "{body}");
    }
    for (sku, units) in [("a", [4, 1, 0, 0]), ("b", [0, 1, 0, 0]), ("c", [7, 2, 0, 0])] {
        assert_eq!(shop.units(sku), units, "{sku}");
    }
    let order = id_of(&made);
    let payment = shop.pay("alice", &order);
    assert_eq!(payment["amount"], 2_000);
    assert_eq!(shop.notify("payment.succeeded", &payment).status, 200);
    let refund = shop.about(&order, "refund", Some(&json!({"return_to_stock": true})));
    assert_eq!(refund.status, 200);
    for (sku, units) in [("a", 5), ("b", 1), ("c", 9)] {
        while shop.units(sku) != [units, 0, 0, 0] {}
    }
    let twenty: Vec<String> = (0..21).map(|n| format!("s{n}")).collect();
    let lines: Vec<(&str, u32)> = twenty.iter().map(|sku| (sku.as_str(), 1)).collect();
    assert_eq!(refusal(&shop.order("a", &basket(&lines[..20]))), (404, "sku_not_found".to_owned()));
    assert_eq!(refusal(&shop.order("a", &basket(&lines))), (400, "invalid_request".to_owned()));
    shop.close();
}

#[test]
fn a_basket_of_twenty_lines_over_three_shards_is_whole() {
    let shop = Shop::open(&["--shards", "3"]);
    let skus: Vec<String> = (0..20).map(|number| format!("sku-{number:02}")).collect();
    skus.iter().for_each(|sku| shop.sku(sku, 2, 600));
    let all: Vec<(&str, u32)> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    let orders = ["alice", "bob"].map(|who| {
        let made = shop.order(who, &basket(&all));
        assert_eq!(made.status, 201, "{}", made.json());
        assert_eq!(made.json()["items"].as_array().map(Vec::len), Some(20));
        assert_eq!(made.json()["amount"], 20 * 500);
        id_of(&made)
    });
    let refused = shop.order("carol", &basket(&all));
    assert_eq!(refusal(&refused), (409, "sold_out".to_owned()));
    assert!(skus.iter().all(|sku| shop.units(sku) == [0, 2, 0, 0]));
    assert_eq!(shop.cancel("alice", &orders[0]).status, 200);
    for sku in &skus {
        while shop.units(sku) != [1, 1, 0, 0] {}
    }
    let shop = shop.crash(&["--shards", "2"]);
    assert_eq!(shop.read("bob", &orders[1])["items"].as_array().map(Vec::len), Some(20));
    assert!(skus.iter().all(|sku| shop.units(sku) == [1, 1, 0, 0]));
    shop.close();
}

#[test]
fn prices_that_overflow_are_refused_at_the_door() {
    let shop = Shop::open(&[]);
    let terms = json!({"name": "gold", "unit_price": 9_007_199_254_740_991_u64, "currency": "CNY",
        "per_buyer_limit": 0, "hold_seconds": 600});
    assert_eq!(shop.server.operate("PUT", "/admin/v1/skus/gold", Some(&terms)).status, 201);
    shop.lot("gold", "L1", 1_000_000);
    shop.sku("case", 9, 600);
    for body in [
        json!({"sku": "gold", "quantity": 2}),
        json!({"sku": "gold", "quantity": 1_000_000}),
        basket(&[("gold", 1), ("case", 1)]),
    ] {
        assert_eq!(refusal(&shop.order("a", &body)), (400, "invalid_request".to_owned()), "{body}");
    }
    assert_eq!(shop.units("gold"), [1_000_000, 0, 0, 0]);
    // However many units there are.
    assert_eq!(shop.server.operate("PUT", "/admin/v1/skus/bar", Some(&terms)).status, 201);
    for standby in [false, true] {
        let body = json!({"sku": "bar", "quantity": 2, "standby": standby});
        assert_eq!(refusal(&shop.order("a", &body)), (400, "invalid_request".to_owned()), "{body}");
    }
    assert_eq!(shop.order("a", &json!({"sku": "gold", "quantity": 1})).status, 201);
    shop.close();
}

#[test]
fn baskets_that_want_the_same_in_opposite_order_all_end() {
    let shop = Shop::open(&["--shards", "3"]);
    for sku in ["a", "b", "c"] {
        shop.sku(sku, 20, 600);
    }
    let made: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let shop = &shop;
                scope.spawn(move || {
                    let mut lines = vec![("a", 1), ("b", 1), ("c", 1)];
                    lines.rotate_left(number % 3);
                    (0..10)
                        .filter(|_| {
                            shop.order(&format!("b{number}"), &basket(&lines)).status == 201
                        })
                        .count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    });
    assert_eq!(made, 20, "sold_out is never said untruly");
    for sku in ["a", "b", "c"] {
        assert_eq!(shop.units(sku), [0, 20, 0, 0], "{sku}");
    }
    let shop = shop.crash(&["--shards", "1"]);
    assert_eq!(shop.units("b"), [0, 20, 0, 0]);
    shop.close();
}
