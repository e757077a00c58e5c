//! What hostile calls get, case by case.

use super::{Keys, SIGNATURES_MAX, SignatureError as E, Signer, Verifier};
use super::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

const NOW: u64 = 1_794_355_200;
const BODY: &[u8] = br#"{"type":"payment.succeeded"}"#;

fn secret(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

fn keys(secrets: &[u8]) -> Keys {
    let list: Vec<String> = secrets.iter().copied().map(secret).collect();
    Keys::parse(&list.join(",")).expect("right")
}

fn call(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    headers
}

/// What a verifier of `secrets` says to a call of these three fields at `NOW`.
fn judged(secrets: &[u8], (id, time, signature): (&str, &str, &str), body: &[u8]) -> Result<(), E> {
    let verifier = Verifier::new(&keys(secrets));
    let fields = [(WEBHOOK_ID, id), (WEBHOOK_TIMESTAMP, time), (WEBHOOK_SIGNATURE, signature)];
    let headers = call(&fields);
    verifier.claim(&headers, NOW).and_then(|claim| verifier.verify(&claim, body))
}

fn signed(by: u8, id: &str, time: u64) -> String {
    Signer::new(&keys(&[by])).sign(id, time, BODY)
}

#[test]
fn the_published_example_is_signed_and_recognised() {
    let keys = Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("right");
    let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
    let body = br#"{"test": 2432232314}"#;
    let signature = Signer::new(&keys).sign(id, time, body);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let fields = [
        (WEBHOOK_ID, id),
        (WEBHOOK_TIMESTAMP, "1614265330"),
        (WEBHOOK_SIGNATURE, signature.as_str()),
    ];
    let (verifier, headers) = (Verifier::new(&keys), call(&fields));
    let claim = verifier.claim(&headers, time).expect("in time");
    assert_eq!(verifier.verify(&claim, body), Ok(()));
}

#[test]
fn any_of_the_secrets_may_have_signed_while_they_are_rotated() {
    let time = NOW.to_string();
    for by in [1, 2, 3] {
        assert_eq!(judged(&[1, 2, 3], ("m", &time, &signed(by, "m", NOW)), BODY), Ok(()));
    }
    assert_eq!(judged(&[2, 3], ("m", &time, &signed(1, "m", NOW)), BODY), Err(E::Wrong));
    let both = format!("{} {}", signed(9, "m", NOW), signed(3, "m", NOW));
    assert_eq!(judged(&[3], ("m", &time, &both), BODY), Ok(()));
    assert_eq!(judged(&[1, 3], ("m", &time, &format!(" {both}  ")), BODY), Ok(()));
    // The first one signs.
    assert_eq!(Signer::new(&keys(&[2, 1])).sign("m", NOW, BODY), signed(2, "m", NOW));
}

#[test]
fn a_signature_that_is_not_the_providers_is_refused() {
    let good = signed(1, "m", NOW);
    let bare = &good[3..];
    let flipped = format!("v1,{}{}", if bare.starts_with('A') { "B" } else { "A" }, &bare[1..]);
    let hex = format!("v1,{}", "ab".repeat(32));
    let no_padding = good.trim_end_matches('=').to_owned();
    let upper = format!("V1,{bare}");
    for (name, signature, wanted) in [
        ("empty", "", E::NoneKnown),
        ("cut to its version", "v1,", E::NoneKnown),
        ("cut by a character", &good[..good.len() - 1], E::NoneKnown),
        ("cut by a group", &good[..good.len() - 4], E::NoneKnown),
        ("too long", &format!("{good}AAAA"), E::NoneKnown),
        ("without its padding", &no_padding, E::NoneKnown),
        ("wrong base64", "v1,!!!!", E::NoneKnown),
        ("hexadecimal", &hex, E::NoneKnown),
        ("another letter", &flipped, E::Wrong),
        ("other secret", &signed(2, "m", NOW), E::Wrong),
        ("for another id", &signed(1, "n", NOW), E::Wrong),
        ("for another time", &signed(1, "m", NOW + 1), E::Wrong),
        ("without a version", bare, E::NoneKnown),
        ("of a version to come", &format!("v2,{bare}"), E::NoneKnown),
        ("asymmetric", &format!("v1a,{bare}"), E::NoneKnown),
        ("in capitals", &upper, E::NoneKnown),
        ("separated by a comma", &format!("v1,x,{good}"), E::NoneKnown),
        ("not ASCII", "v1,é", E::NoneKnown),
    ] {
        assert_eq!(judged(&[1], ("m", &NOW.to_string(), signature), BODY), Err(wanted), "{name}");
    }
    for beside in [format!("v2,{bare} {good}"), format!("v1,x {good}"), format!("{flipped} {good}")]
    {
        assert_eq!(judged(&[1], ("m", &NOW.to_string(), &beside), BODY), Ok(()), "{beside}");
    }
}

#[test]
fn what_was_signed_is_the_body_as_it_came() {
    let (time, good) = (NOW.to_string(), signed(1, "m", NOW));
    for (name, body) in [
        ("re-serialised", br#"{"type": "payment.succeeded"}"#.as_slice()),
        ("with a line end", b"{\"type\":\"payment.succeeded\"}\n"),
        ("escaped", br#"{"type":"payment\u002esucceeded"}"#),
        ("changed", br#"{"type":"payment.failed"}"#),
        ("empty", b""),
    ] {
        assert_eq!(judged(&[1], ("m", &time, &good), body), Err(E::Wrong), "{name}");
    }
}

#[test]
fn a_call_is_of_now() {
    for (name, time, wanted) in [
        ("now", NOW, Ok(())),
        ("as old as may be", NOW - 300, Ok(())),
        ("as early as may be", NOW + 300, Ok(())),
        ("old", NOW - 301, Err(E::Time)),
        ("future", NOW + 301, Err(E::Time)),
        ("of the epoch", 0, Err(E::Time)),
        ("of the last second", u64::MAX, Err(E::Time)),
    ] {
        let call = ("m", &*time.to_string(), &*signed(1, "m", time));
        assert_eq!(judged(&[1], call, BODY), wanted, "{name}");
    }
    let good = signed(1, "m", NOW);
    for (name, time) in [
        ("empty", String::new()),
        ("no number", "now".to_owned()),
        ("negative", format!("-{NOW}")),
        ("with a sign", format!("+{NOW}")),
        ("a fraction", format!("{NOW}.0")),
        ("with an exponent", "1e9".to_owned()),
        ("hexadecimal", "0x6af3f180".to_owned()),
        ("2^64", "18446744073709551616".to_owned()),
        ("of a thousand digits", "9".repeat(1_000)),
        ("with a space inside", format!("{} {}", NOW / 10, NOW % 10)),
        ("Arabic digits", "١٧٩٤٣٥٥٢٠٠".to_owned()),
    ] {
        assert_eq!(judged(&[1], ("m", &time, &good), BODY), Err(E::Timestamp), "{name}");
    }
    // What was signed is the text: a zero in front of it makes another one.
    assert_eq!(judged(&[1], ("m", &format!("0{NOW}"), &good), BODY), Err(E::Wrong));
}

#[test]
fn a_replayed_call_is_recognised_again() {
    // Duplicates are harmless by what the ledger does with them, not by what is remembered here.
    let (time, good) = (NOW.to_string(), signed(1, "m", NOW));
    for _ in 0..2 {
        assert_eq!(judged(&[1], ("m", &time, &good), BODY), Ok(()));
    }
}

#[test]
fn an_id_is_short_visible_ascii() {
    let long = "i".repeat(257);
    for (name, id) in
        [("empty", ""), ("too long", &long), ("with a space", "a b"), ("not ASCII", "é")]
    {
        let good = signed(1, id, NOW);
        assert_eq!(judged(&[1], (id, &NOW.to_string(), &good), BODY), Err(E::Id), "{name}");
    }
    let id = &long[1..];
    assert_eq!(judged(&[1], (id, &NOW.to_string(), &signed(1, id, NOW)), BODY), Ok(()));
}

#[test]
fn what_is_signed_can_be_cut_in_another_place_but_not_into_an_object() {
    let id = format!("m.{NOW}");
    let good = signed(1, &id, NOW);
    let cut = [format!("{NOW}.").as_bytes(), BODY].concat();
    assert_eq!(judged(&[1], ("m", &NOW.to_string(), &good), &cut), Ok(()));
    assert!(crate::json::Document::read(&cut).is_err());
}

#[test]
fn each_field_is_there_once() {
    let (time, good) = (NOW.to_string(), signed(1, "m", NOW));
    let fields = [(WEBHOOK_ID, "m"), (WEBHOOK_TIMESTAMP, &*time), (WEBHOOK_SIGNATURE, &*good)];
    let verifier = Verifier::new(&keys(&[1]));
    let refused = |headers: &HeaderMap| verifier.claim(headers, NOW).expect_err("refused");
    for (at, (name, _)) in fields.iter().enumerate() {
        let mut headers = call(&fields);
        headers.remove(name);
        assert_eq!(refused(&headers), E::Missing(name.clone()));
        let repeated = [&fields[..], &fields[at..=at]].concat();
        assert_eq!(refused(&call(&repeated)), E::Repeated(name.clone()));
    }
    assert_eq!(refused(&HeaderMap::new()), E::Missing(WEBHOOK_ID));
}

#[test]
fn signatures_are_counted_and_measured() {
    let (time, good) = (NOW.to_string(), signed(1, "m", NOW));
    let many = |count: usize| format!("{}{good}", "v0,x ".repeat(count - 1));
    assert_eq!(judged(&[1], ("m", &time, &many(SIGNATURES_MAX)), BODY), Ok(()));
    let more = many(SIGNATURES_MAX + 1);
    assert_eq!(judged(&[1], ("m", &time, &more), BODY), Err(E::Signatures));
    let long = format!("{good} {}", "A".repeat(4 * 1024));
    assert_eq!(judged(&[1], ("m", &time, &long), BODY), Err(E::Signatures));
}

#[test]
fn secrets_are_base64_of_enough_bytes() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for right in [of(24), of(64), format!(" {} , {} ", of(32), of(33)), vec![of(24); 8].join(",")] {
        assert!(Keys::parse(&right).is_some(), "{right}");
    }
    for wrong in [
        String::new(),
        ",".to_owned(),
        "whsec_".to_owned(),
        of(23),
        of(65),
        format!("{},", of(24)),
        vec![of(24); 9].join(","),
        of(24)[6..].to_owned(),
        format!("{}!", of(24)),
        of(25).trim_end_matches('=').to_owned(),
    ] {
        assert!(Keys::parse(&wrong).is_none(), "{wrong}");
    }
}

#[test]
fn an_error_says_nothing_of_what_would_be_right() {
    let good = signed(1, "m", NOW);
    for error in [E::Wrong, E::NoneKnown, E::Time, E::Missing(WEBHOOK_SIGNATURE)] {
        let problem = crate::problem::Problem::from(error);
        assert_eq!(problem.code.status(), 401);
        assert!(problem.detail.starts_with("webhook-") && !problem.detail.contains(&good[3..]));
    }
}
