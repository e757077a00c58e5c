//! Orders that are paid, in every order of events, and what providers may do wrong.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::shop::{Shop, WEBHOOK, now, refusal, signed, signed_by};

const RETURN: &str = r#"{"return_to_stock":true}"#;

fn to_stock() -> Value {
    serde_json::from_str(RETURN).expect("JSON")
}

#[test]
fn an_order_is_paid_shipped_delivered_and_given_back() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 3, 600);
    let (order, payment) = shop.sell("alice", "phone", 2);
    assert_eq!(payment["pay_url"], Value::Null, "the provider has a page of its own");
    assert_eq!((&payment["amount"], &payment["status"]), (&json!(1000), &json!("open")));
    assert_eq!(shop.units("phone"), [1, 0, 2, 0]);
    assert!(shop.read("alice", &order).get("expires_at").is_none());
    assert_eq!(refusal(&shop.cancel("alice", &order)), (409, "order_state".to_owned()));
    let pay = format!("/v1/orders/{order}/payments");
    assert_eq!(refusal(&shop.call("alice", "POST", &pay, None)), (409, "order_state".to_owned()));

    assert_eq!(refusal(&shop.about(&order, "deliver", None)), (409, "order_state".to_owned()));
    let parcel = json!({"carrier": "SF Express", "tracking_number": "SF-1"});
    for _ in 0..2 {
        let shipped = shop.about(&order, "ship", Some(&parcel));
        assert_eq!((shipped.status, &shipped.json()["status"]), (200, &json!("shipped")));
    }
    let other = json!({"carrier": "SF Express", "tracking_number": "SF-2"});
    let refused = refusal(&shop.about(&order, "ship", Some(&other)));
    assert_eq!(refused, (409, "order_state".to_owned()));
    for _ in 0..2 {
        let delivered = shop.about(&order, "deliver", None);
        assert_eq!((delivered.status, &delivered.json()["status"]), (200, &json!("delivered")));
    }
    let refunding = shop.about(&order, "refund", Some(&to_stock()));
    assert_eq!((refunding.status, &refunding.json()["status"]), (200, &json!("refunding")));
    assert_eq!(shop.units("phone"), [3, 0, 0, 0], "the units are back at once");
    let listed = || loop {
        let page = shop.server.operate("GET", "/admin/v1/payments?status=refunding", None).json();
        if page["payments"][0]["payment_id"] == payment["payment_id"] {
            return page["payments"][0].clone();
        }
    };
    assert_eq!(listed()["refund_reason"], "operator");
    assert_eq!(shop.notify("refund.failed", &payment).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "refunding");
    assert_eq!(shop.count("sluice_refunds_failed_total"), 1.0);
    for _ in 0..2 {
        assert_eq!(shop.notify("refund.succeeded", &payment).status, 200);
        assert_eq!(shop.read("alice", &order)["status"], "refunded");
    }
    assert_eq!(shop.count("sluice_refunds_succeeded_total"), 1.0);
    let timeline = [
        "buyer placed",
        "buyer payment_started",
        "provider paid",
        "operator shipped",
        "operator delivered",
        "operator refund_requested",
        "provider refund_failed",
        "provider refund_succeeded",
    ];
    assert_eq!(shop.timeline(&order), timeline);
    let history = shop.history(&order);
    assert_eq!(history["buyer"], "alice");
    assert_eq!(history["shipment"], parcel);
    assert_eq!(history["payments"][0]["status"], "refunded");
    assert!(history["timeline"][0]["request_id"].is_string());
    shop.close();
}

#[test]
fn what_operators_say_is_read_strictly() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 2, 600);
    let (order, _) = shop.sell("alice", "phone", 1);
    for (what, body) in [
        ("refund", json!({})),
        ("refund", json!({"return_to_stock": "yes"})),
        ("refund", json!({"return_to_stock": true, "amount": 1})),
        ("ship", json!({"carrier": "SF"})),
        ("ship", json!({"carrier": "", "tracking_number": "1"})),
        ("ship", json!({"carrier": "a\nb", "tracking_number": "1"})),
        ("ship", json!({"carrier": "SF", "tracking_number": "x".repeat(256)})),
        ("deliver", json!({"at": "home"})),
    ] {
        let answer = shop.about(&order, what, Some(&body));
        assert_eq!(refusal(&answer), (400, "invalid_request".to_owned()), "{what} {body}");
    }
    for (what, body) in [("refund", Some(to_stock())), ("deliver", None)] {
        let answer = shop.about("00000000000000000000000000", what, body.as_ref());
        assert_eq!(refusal(&answer), (404, "order_not_found".to_owned()));
    }
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    let written_off = shop.about(&order, "refund", Some(&json!({"return_to_stock": false})));
    assert_eq!(written_off.status, 200);
    assert_eq!(shop.units("phone"), [1, 0, 0, 1]);
    shop.close();
}

#[test]
fn orders_are_found_by_buyer_sku_and_state() {
    let shop = Shop::open(&[]);
    for sku in ["phone", "case"] {
        shop.sku(sku, 9, 600);
    }
    let mut made: Vec<String> = Vec::new();
    for (who, sku) in [("alice", "phone"), ("bob", "phone"), ("alice", "case"), ("alice", "phone")]
    {
        made.insert(0, shop.reserve(who, sku, 1));
    }
    assert_eq!(shop.cancel("alice", &made[3]).status, 200);
    shop.server.caught_up();
    let found = |query: &str| shop.server.operate("GET", &format!("/admin/v1/orders{query}"), None);
    let ids = |page: &Value| -> Vec<Value> {
        page["orders"].as_array().expect("a list").iter().map(|o| o["order_id"].clone()).collect()
    };
    for (query, wanted) in [
        ("", vec![0, 1, 2, 3]),
        ("?buyer=alice", vec![0, 1, 3]),
        ("?buyer=alice&sku=phone", vec![0, 3]),
        ("?sku=phone&status=reserved", vec![0, 2]),
        ("?status=cancelled", vec![3]),
        ("?buyer=carol", vec![]),
    ] {
        let wanted: Vec<Value> = wanted.into_iter().map(|n: usize| json!(made[n])).collect();
        assert_eq!(ids(&found(query).json()), wanted, "{query}");
    }
    let first = found("?limit=3").json();
    assert_eq!(first["orders"][0]["buyer"], "alice");
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let rest = found(&format!("?limit=3&cursor={cursor}")).json();
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec![json!(made[3])], &Value::Null));
    for wrong in ["?status=x", "?sku=a%20b", "?buyer=", "?cursor=AAAA", "?limit=101", "?page=1"] {
        assert_eq!(refusal(&found(wrong)), (400, "invalid_request".to_owned()), "{wrong}");
    }
    shop.close();
}

#[test]
fn a_late_payment_gets_its_units_again_or_the_money_goes_back() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 1, 600);
    // Cancelled, and the unit is still there.
    let order = shop.reserve("alice", "phone", 1);
    let payment = shop.pay("alice", &order);
    assert_eq!(shop.cancel("alice", &order).status, 200);
    assert_eq!(shop.notify("payment.succeeded", &payment).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    assert_eq!(shop.units("phone"), [0, 0, 1, 0]);
    assert_eq!(shop.count("sluice_orders_paid_late_total"), 1.0);
    // A limit does not speak against it: the money is there.
    let terms = json!({"name": "one", "unit_price": 5, "currency": "CNY", "per_buyer_limit": 1,
        "hold_seconds": 600});
    assert_eq!(shop.server.operate("PUT", "/admin/v1/skus/one", Some(&terms)).status, 201);
    shop.lot("one", "L1", 5);
    let order = shop.reserve("alice", "one", 1);
    let payment = shop.pay("alice", &order);
    assert_eq!(shop.cancel("alice", &order).status, 200);
    shop.reserve("alice", "one", 1);
    assert_eq!(shop.notify("payment.succeeded", &payment).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    // Expired, and somebody else has the unit.
    shop.sku("brief", 1, 1);
    let order = shop.reserve("alice", "brief", 1);
    let payment = shop.pay("alice", &order);
    shop.becomes("alice", &order, "expired");
    shop.sell("bob", "brief", 1);
    for _ in 0..3 {
        assert_eq!(shop.notify("payment.succeeded", &payment).status, 200);
        assert_eq!(shop.read("alice", &order)["status"], "refunding");
    }
    assert_eq!(shop.count("sluice_refunds_requested_total"), 1.0, "once, however often it is told");
    assert_eq!(shop.units("brief"), [0, 0, 1, 0]);
    assert_eq!(shop.notify("refund.succeeded", &payment).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "refunded");
    shop.close();
}

#[test]
fn what_comes_twice_or_out_of_order_is_harmless() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 3, 600);
    let order = shop.reserve("alice", "phone", 1);
    let first = shop.pay("alice", &order);
    let again = shop.call("alice", "POST", &format!("/v1/orders/{order}/payments"), None);
    assert_eq!((again.status, again.json()), (200, first.clone()), "the one that is open");
    // Failed, then another attempt, and both succeed after all.
    assert_eq!(shop.notify("payment.failed", &first).status, 200);
    let second = shop.pay("alice", &order);
    assert_ne!(first["payment_id"], second["payment_id"]);
    for _ in 0..3 {
        assert_eq!(shop.notify("payment.succeeded", &first).status, 200);
    }
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    for _ in 0..3 {
        assert_eq!(shop.notify("payment.succeeded", &second).status, 200);
        assert_eq!(shop.notify("payment.failed", &first).status, 200, "too late to be true");
    }
    assert_eq!(shop.read("alice", &order)["status"], "paid", "the order is left alone");
    assert_eq!(shop.count("sluice_refunds_requested_total"), 1.0, "the second goes back");
    assert_eq!(shop.count("sluice_orders_paid_total"), 1.0);
    assert_eq!(shop.notify("refund.succeeded", &second).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    assert_eq!(shop.count("sluice_notices_unmatched_total"), 0.0);
    shop.close();
}

#[test]
fn what_fits_no_payment_confirms_nothing_and_is_listed() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 3, 600);
    let order = shop.reserve("alice", "phone", 1);
    let payment = shop.pay("alice", &order);
    let other = shop.reserve("bob", "phone", 1);
    let cases = [
        json!({"amount": 499}),
        json!({"amount": 501}),
        json!({"currency": "EUR"}),
        json!({"order_id": other}),
        json!({"order_id": "nobodys"}),
        json!({"payment_id": "00000000000000000000000000"}),
        json!({"payment_id": "pi_3MtwBwLkdIwHu7ix28a3tqPa"}),
        json!({"currency": "cny"}),
        json!({"currency": "CNY (yuan renminbi)"}),
        json!({"currency": ""}),
        json!({"order_id": "o".repeat(300)}),
        json!({"payment_id": "é".repeat(300)}),
        json!({"payment_id": "p\u{0}\u{1b}[2J"}),
        json!({"payment_id": ""}),
    ];
    for case in &cases {
        for _ in 0..2 {
            assert_eq!(shop.notify_as("payment.succeeded", &payment, case).status, 200, "{case}");
        }
        assert_eq!(shop.read("alice", &order)["status"], "reserved", "{case}");
    }
    // A refund that nobody asked for.
    assert_eq!(shop.notify("refund.succeeded", &payment).status, 200);
    let unmatched = cases.len() + 1;
    assert_eq!(shop.count("sluice_notices_unmatched_total"), unmatched as f64, "each once");
    shop.server.caught_up();
    let page = shop.server.operate("GET", "/admin/v1/notices?limit=5", None).json();
    let all = shop.server.operate("GET", "/admin/v1/notices?limit=100", None).json();
    let all = all["notices"].as_array().expect("a list");
    let words = |field: &str, text: &str| all.iter().any(|notice| notice[field] == text);
    assert!(words("currency", "cny") && words("currency", "CNY (yuan renmin"));
    assert!(words("order_id", &"o".repeat(64)) && words("payment_id", &"é".repeat(32)));
    assert!(words("payment_id", "p\u{fffd}\u{fffd}[2J"));
    let newest = &page["notices"][0];
    assert_eq!((&newest["type"], &newest["amount"]), (&json!("refund.succeeded"), &json!(500)));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest =
        shop.server.operate("GET", &format!("/admin/v1/notices?cursor={cursor}"), None).json();
    assert_eq!(rest["notices"].as_array().map(Vec::len), Some(unmatched - 5));
    assert_eq!(shop.notify("payment.succeeded", &payment).status, 200);
    assert_eq!(shop.read("alice", &order)["status"], "paid");
    shop.close();
}

/// A call to the webhook with these fields, of which none says what the body is.
fn call(shop: &Shop, fields: &str, body: &[u8]) -> (u16, String) {
    let mut client = Client::connect(shop.server.buyers);
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: a\r\n{fields}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.write(head.as_bytes());
    client.write(body);
    let answer = client.answer(false).expect("an answer");
    match answer.status {
        200 => (200, String::new()),
        _ => refusal(&answer),
    }
}

#[test]
fn nobody_but_the_provider_is_listened_to() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 3, 600);
    let order = shop.reserve("alice", "phone", 1);
    let payment = shop.pay("alice", &order);
    let mut body = json!({"type": "payment.succeeded"});
    for field in ["payment_id", "order_id", "amount", "currency"] {
        body[field] = payment[field].clone();
    }
    let text = body.to_string();
    let (bytes, at) = (text.as_bytes(), now());
    let good = signed("m1", at, bytes);
    let (rest, signature) = good.rsplit_once("webhook-signature: v1,").expect("signed last");
    let re_serialised = text.replace(",\"", ", \"");
    let more = text.replace("500", "5000");
    let other = signed_by(b"another-secret-of-32-bytes-12345", "m1", at, bytes);
    let strangers = [
        ("no signature", rest.to_owned(), bytes),
        ("none of the fields", String::new(), bytes),
        ("an empty signature", format!("{rest}webhook-signature: \r\n"), bytes),
        ("a cut signature", format!("{rest}webhook-signature: v1,{}\r\n", &signature[..20]), bytes),
        ("a signature without its version", format!("{rest}webhook-signature: {signature}"), bytes),
        ("a signature of version v2", good.replace("v1,", "v2,"), bytes),
        ("a signature twice", format!("{good}webhook-signature: v1,{signature}"), bytes),
        ("another secret", other, bytes),
        ("a re-serialised body", good.clone(), re_serialised.as_bytes()),
        ("another amount", good.clone(), more.as_bytes()),
        ("another id", good.replace("m1", "m2"), bytes),
        ("another time", good.replace(&at.to_string(), &(at - 1).to_string()), bytes),
        ("an old call", signed("m1", at - 400, bytes), bytes),
        ("a call of the future", signed("m1", at + 400, bytes), bytes),
        ("a time that is none", good.replace(&at.to_string(), "now"), bytes),
    ];
    for (name, fields, body) in &strangers {
        let refused = (401, "invalid_signature".to_owned());
        assert_eq!(call(&shop, fields, body), refused, "{name}");
        assert_eq!(shop.read("alice", &order)["status"], "reserved", "{name}");
    }
    let refused = shop.server.metric("sluice_webhooks_refused_total");
    assert_eq!(refused, strangers.len() as f64);
    let unknown = br#"{"type":"invoice.sent"}"#;
    assert_eq!(call(&shop, &signed("m1", at, unknown), unknown).0, 200, "a type of no concern");
    for malformed in [&b"{"[..], b"[]", br#"{"type":"payment.succeeded"}"#, b""] {
        let answer = call(&shop, &signed("m1", at, malformed), malformed);
        assert_eq!(answer, (400, "invalid_request".to_owned()));
    }
    let large = vec![b' '; 16 * 1024 + 1];
    assert_eq!(call(&shop, &good, &large).0, 413);
    assert_eq!(shop.count("sluice_notices_unmatched_total"), 0.0);
    assert_eq!(shop.read("alice", &order)["version"], 2, "nothing of it had an effect");
    // Beside others' signatures, and replayed.
    let beside = format!("{rest}webhook-signature: v1a,x v1,AAAA v1,{signature}");
    for _ in 0..3 {
        assert_eq!(call(&shop, &beside, bytes).0, 200);
    }
    assert_eq!(shop.read("alice", &order)["version"], 3);
    shop.close();
}

#[test]
fn a_payment_that_was_answered_survives_a_crash() {
    let mut shop = Shop::open(&[]);
    shop.sku("phone", 100, 600);
    let mut paid = Vec::new();
    for round in 0..5 {
        for number in 0..4 {
            let who = format!("buyer-{round}-{number}");
            let (order, payment) = shop.sell(&who, "phone", 1);
            paid.push((who, order, payment));
        }
        shop = shop.crash(&[]);
        for (who, order, payment) in &paid {
            assert_eq!(shop.read(who, order)["status"], "paid");
            assert_eq!(shop.notify("payment.succeeded", payment).status, 200);
        }
    }
    let sold = paid.len() as u64;
    assert_eq!(shop.units("phone"), [100 - sold, 0, sold, 0]);
    assert_eq!(shop.count("sluice_refunds_requested_total"), 0.0);
    shop.close();
}

/// Makes every sync of a running server hang, before the disk is asked or behind it.
fn hang_syncs(server: &Server, delay: &str) -> Child {
    let inject = format!("inject=fdatasync:{delay}=20000000");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &inject, "-p", &server.child.id().to_string()]);
    let mut strace = strace.stderr(Stdio::piped()).spawn().expect("strace runs");
    let mut line = String::new();
    let stderr = strace.stderr.as_mut().expect("piped");
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    assert!(line.contains("attached"), "{line}");
    strace
}

#[test]
fn no_payment_is_answered_before_its_sync_and_a_crash_there_loses_none() {
    for delay in ["delay_enter", "delay_exit"] {
        let shop = Shop::open(&["--shards", "1"]);
        shop.sku("phone", 3, 600);
        let order = shop.reserve("alice", "phone", 1);
        let payment = shop.pay("alice", &order);
        let mut body = json!({"type": "payment.succeeded"});
        for field in ["payment_id", "order_id", "amount", "currency"] {
            body[field] = payment[field].clone();
        }
        let fields = signed("m1", now(), body.to_string().as_bytes());
        let mut strace = hang_syncs(&shop.server, delay);
        let mut provider = Client::connect(shop.server.buyers);
        provider.send("POST", WEBHOOK, &fields, Some(&body));
        // It is verified and decided; its sync hangs.
        while shop.count("sluice_orders_paid_total") < 1.0 {}
        kill_process(Pid::from_child(&shop.server.child), Signal::KILL).expect("it runs");
        // A process that is traced stays until its tracer has seen its end; this one sleeps.
        strace.kill().expect("it runs");
        strace.wait().expect("it ran");
        let shop = shop.crash(&["--shards", "1"]);
        // Where a mark's sync hung first, the provider may have been told that nobody knows.
        let told = provider.answer(false).map(|answer| answer.status);
        assert!(told.is_none_or(|status| status == 504), "I2 {delay}: {told:?}");
        for _ in 0..2 {
            let mut provider = Client::connect(shop.server.buyers);
            let again = provider.call("POST", WEBHOOK, &fields, Some(&body));
            assert_eq!(again.status, 200, "{delay}");
            assert_eq!(shop.read("alice", &order)["status"], "paid", "{delay}");
        }
        let timeline = ["buyer placed", "buyer payment_started", "provider paid"];
        assert_eq!(shop.timeline(&order), timeline, "{delay}");
        assert_eq!(shop.units("phone"), [2, 0, 1, 0], "{delay}");
        shop.close();
    }
}

#[test]
fn the_first_start_of_payment_puts_the_deadline_off() {
    let shop = Shop::open(&["--payment-extension", "1h"]);
    shop.sku("phone", 1, 60);
    let order = shop.reserve("alice", "phone", 1);
    let before = shop.read("alice", &order)["expires_at"].clone();
    let payment = shop.pay("alice", &order);
    let after = shop.read("alice", &order)["expires_at"].clone();
    assert!(after.as_str() > before.as_str(), "{before} {after}");
    assert_eq!(shop.notify("payment.failed", &payment).status, 200);
    shop.pay("alice", &order);
    assert_eq!(shop.read("alice", &order)["expires_at"], after, "once");
    shop.close();
}

#[test]
fn the_sandbox_takes_payments_at_its_page() {
    let shop = Shop::open(&["--payment-provider", "sandbox"]);
    shop.sku("phone", 3, 600);
    let order = shop.reserve("alice", "phone", 1);
    let payment = shop.pay("alice", &order);
    let url = payment["pay_url"].as_str().expect("a page");
    let host = format!("http://{}", shop.server.buyers);
    let path = url.strip_prefix(&host).expect("of this server");
    let mut client = Client::connect(shop.server.buyers);
    let page = client.call("GET", path, "", None);
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(String::from_utf8_lossy(&page.body).contains("CNY 5.00"));
    let told = client.call("POST", path, "", Some(&json!({"outcome": "pay", "times": 2})));
    assert_eq!(told.status, 202);
    shop.becomes("alice", &order, "paid");
    assert_eq!(shop.about(&order, "refund", Some(&to_stock())).status, 200);
    shop.becomes("alice", &order, "refunded");
    assert_eq!(shop.units("phone"), [3, 0, 0, 0]);
    let gone = client.call("GET", "/sandbox/payments/00000000000000000000000000", "", None);
    assert_eq!(refusal(&gone), (404, "not_found".to_owned()));
    shop.close();
}

#[test]
fn an_order_is_shown_without_its_copy_too() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    // A folder in the place of the database: nobody can open it.
    let database = format!("sqlite://{}", elsewhere.path().display());
    let shop = Shop::open(&["--database-url", &database]);
    shop.sku("phone", 1, 600);
    let (order, _) = shop.sell("alice", "phone", 1);
    let history = shop.history(&order);
    assert_eq!((&history["status"], &history["version"]), (&json!("paid"), &json!(3)));
    for unknown in ["buyer", "timeline", "payments", "shipment"] {
        assert_eq!(history[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(history["timeline_complete"], false);
    assert!(history["timeline_error"].as_str().is_some_and(|why| why.contains("database")));
    let parcel = json!({"carrier": "c", "tracking_number": "t"});
    let shipped = shop.about(&order, "ship", Some(&parcel)).json();
    assert_eq!((&shipped["status"], &shipped["buyer"]), (&json!("shipped"), &Value::Null));
    for path in ["orders", "notices", "payments?status=refunding"] {
        let answer = shop.server.operate("GET", &format!("/admin/v1/{path}"), None);
        assert_eq!(refusal(&answer), (503, "overloaded".to_owned()), "{path}");
    }
    shop.server.stop();
}
