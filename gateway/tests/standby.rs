//! Orders that wait: first come, first served (I11), whatever brings units back.

use serde_json::{Value, json};

use crate::shop::{Shop, refusal};

#[test]
fn who_waits_has_a_place_and_is_served_in_turn() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 1, 600);
    let first = shop.reserve("alice", "phone", 1);
    let waiting: Vec<String> =
        ["bob", "carol", "dave"].map(|who| shop.wait(who, "phone", 1)).into();
    let who = ["bob", "carol", "dave"];
    for (place, (who, order)) in who.iter().zip(&waiting).enumerate() {
        let read = shop.read(who, order);
        assert_eq!((&read["position"], &read["status"]), (&json!(place + 1), &json!("waiting")));
        assert_eq!((&read["amount"], &read["items"][0]["lots"]), (&Value::Null, &json!([])));
        assert!(read["items"][0].get("unit_price").is_none() && read.get("expires_at").is_none());
    }
    assert_eq!(shop.server.counters("phone")["standby"], 3);
    let newcomer = shop.order("erin", &json!({"sku": "phone", "quantity": 1}));
    assert_eq!(refusal(&newcomer), (409, "sold_out".to_owned()));
    let pay = format!("/v1/orders/{}/payments", waiting[0]);
    assert_eq!(refusal(&shop.call("bob", "POST", &pay, None)), (409, "order_state".to_owned()));
    // By a cancel.
    assert_eq!(shop.cancel("alice", &first).status, 200);
    let served = shop.becomes("bob", &waiting[0], "reserved");
    assert_eq!((&served["amount"], served["expires_at"].is_string()), (&json!(500), true));
    assert!(served.get("position").is_none());
    assert_eq!(shop.read("carol", &waiting[1])["position"], 1);
    // One who gives up lets the others move up.
    assert_eq!(shop.cancel("carol", &waiting[1]).json()["status"], "cancelled");
    assert_eq!(shop.read("dave", &waiting[2])["position"], 1);
    // By a lot.
    shop.lot("phone", "L2", 1);
    shop.becomes("dave", &waiting[2], "reserved");
    assert_eq!(shop.units("phone"), [0, 2, 0, 0]);
    assert_eq!(shop.timeline(&waiting[2]), ["buyer queued", "engine promoted"]);
    assert_eq!(shop.timeline(&waiting[1]).len(), 2);
    assert_eq!(shop.count("sluice_orders_promoted_total"), 2.0);
    shop.close();
}

#[test]
fn units_that_come_back_by_time_or_by_refund_go_to_who_waits() {
    let shop = Shop::open(&[]);
    shop.sku("brief", 1, 1);
    let held = shop.reserve("alice", "brief", 1);
    let waiting = shop.wait("bob", "brief", 1);
    shop.becomes("alice", &held, "expired");
    while shop.read("bob", &waiting)["status"] == "waiting" {}
    assert_eq!(shop.timeline(&waiting)[..2], ["buyer queued", "engine promoted"]);
    shop.sku("phone", 1, 600);
    let (order, payment) = shop.sell("alice", "phone", 1);
    let waiting = shop.wait("bob", "phone", 1);
    let refund = shop.about(&order, "refund", Some(&json!({"return_to_stock": true})));
    assert_eq!(refund.status, 200);
    shop.becomes("bob", &waiting, "reserved");
    assert_eq!(shop.notify("refund.succeeded", &payment).status, 200);
    // A late payment stands behind those who wait.
    let late = shop.reserve_after_cancel("phone");
    assert_eq!(shop.notify("payment.succeeded", &late.1).status, 200);
    assert_eq!(shop.read("carol", &late.0)["status"], "refunding");
    shop.close();
}

impl Shop {
    /// An order of carol's that she began to pay and cancelled, whose unit dave waited for.
    fn reserve_after_cancel(&self, sku: &str) -> (String, Value) {
        self.lot(sku, "late", 1);
        let order = self.reserve("carol", sku, 1);
        let payment = self.pay("carol", &order);
        let waiting = self.wait("dave", sku, 1);
        assert_eq!(self.cancel("carol", &order).status, 200);
        self.becomes("dave", &waiting, "reserved");
        (order, payment)
    }
}

#[test]
fn a_key_gives_the_same_place_and_queues_survive_a_crash() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 1, 600);
    let held = shop.reserve("alice", "phone", 1);
    let body = json!({"sku": "phone", "quantity": 1, "standby": true});
    let fields = format!("{}Idempotency-Key: k1\r\n", crate::harness::buyer("bob"));
    let join = |shop: &Shop, body: &Value| {
        let mut client = crate::harness::Client::connect(shop.server.buyers);
        client.call("POST", "/v1/orders", &fields, Some(body))
    };
    let made = join(&shop, &body);
    assert_eq!(made.status, 202);
    let again = join(&shop, &body);
    assert_eq!((again.status, again.json()), (200, made.json()));
    let other = json!({"sku": "phone", "quantity": 1});
    assert_eq!(refusal(&join(&shop, &other)), (422, "idempotency_key_reused".to_owned()));
    let second = shop.wait("carol", "phone", 1);
    let shop = shop.crash(&["--shards", "2"]);
    assert_eq!(join(&shop, &body).json(), made.json());
    assert_eq!(shop.read("carol", &second)["position"], 2);
    assert_eq!(shop.cancel("alice", &held).status, 200);
    let order = made.json()["order_id"].as_str().expect("an id").to_owned();
    shop.becomes("bob", &order, "reserved");
    assert_eq!(shop.read("carol", &second)["position"], 1);
    shop.close();
}

#[test]
fn who_would_wait_for_too_much_is_refused() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 1, 600);
    shop.sku("case", 1, 600);
    let items = json!([{"sku": "phone", "quantity": 1}, {"sku": "case", "quantity": 1}]);
    let basket = json!({"items": items, "standby": true});
    assert_eq!(refusal(&shop.order("alice", &basket)), (400, "invalid_request".to_owned()));
    // With units there, nobody waits.
    let ready = shop.order("alice", &json!({"sku": "phone", "quantity": 1, "standby": true}));
    assert_eq!((ready.status, &ready.json()["status"]), (201, &json!("reserved")));
    // Each buyer may wait for so many at a time.
    for _ in 0..20 {
        shop.wait("bob", "phone", 1);
    }
    let one_more = shop.order("bob", &json!({"sku": "phone", "quantity": 1, "standby": true}));
    assert_eq!(refusal(&one_more), (503, "capacity".to_owned()));
    // A price above what was agreed is not forced on whoever waited.
    let most = json!({"sku": "case", "quantity": 2, "standby": true, "max_amount": 999});
    let waiting = crate::shop::id_of(&shop.order("carol", &most));
    shop.lot("case", "L2", 1);
    shop.becomes("carol", &waiting, "cancelled");
    assert_eq!(shop.units("case"), [2, 0, 0, 0]);
    shop.close();
}
