//! Hostile input at the level of sockets: request smuggling, size and pace, media types. Bodies,
//! tokens and numbers are judged one by one in the unit tests of the gateway.

use std::io::{ErrorKind, Read as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Server, buyer};

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    (folder, server)
}

/// All statuses that come back for some bytes, after which the client says nothing more.
fn statuses(server: &Server, bytes: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(server.buyers);
    client.write(bytes);
    // It may have been closed from the other side already.
    let _ = client.stream.get_ref().shutdown(Shutdown::Write);
    let mut all = Vec::new();
    while let Some(answer) = client.answer(false) {
        if answer.status >= 400 {
            assert_eq!(answer.field("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["status"], answer.status);
        }
        all.push(answer.status);
    }
    all
}

#[test]
fn no_second_request_is_smuggled_in() {
    let (_folder, server) = start();
    let token = buyer("mallory");
    let order = r#"{"sku":"phone","quantity":1}"#;
    let length = order.len();
    // What a confused server would take for a request of its own.
    let second = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\n{token}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{order}"
    );
    let chunked = format!("{length:x}\r\n{order}\r\n0\r\n\r\n");
    let head =
        format!("POST /v1/orders HTTP/1.1\r\nHost: a\r\n{token}Content-Type: application/json\r\n");
    let cases: &[(&str, String)] = &[
        (
            "CL then TE",
            format!(
                "{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"
            ),
        ),
        (
            "TE then CL",
            format!(
                "{head}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{chunked}"
            ),
        ),
        (
            "TE then short CL",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}"),
        ),
        (
            "two CL that differ",
            format!("{head}Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{order}"),
        ),
        (
            "two CL that agree",
            format!("{head}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{order}"),
        ),
        ("CL +5", format!("{head}Content-Length: +{length}\r\n\r\n{order}")),
        ("CL 5,5", format!("{head}Content-Length: {length},{length}\r\n\r\n{order}")),
        ("CL 2^64", format!("{head}Content-Length: 18446744073709551616\r\n\r\n{order}")),
        (
            "CL 2^64 + n",
            format!("{head}Content-Length: {}\r\n\r\n{order}", (1_u128 << 64) + length as u128),
        ),
        ("CL hexadecimal", format!("{head}Content-Length: 0x1c\r\n\r\n{order}")),
        ("CL negative", format!("{head}Content-Length: -1\r\n\r\n{order}")),
        ("CL empty", format!("{head}Content-Length:\r\n\r\n{order}")),
        ("TE xchunked", format!("{head}Transfer-Encoding: xchunked\r\n\r\n{chunked}")),
        ("TE identity", format!("{head}Transfer-Encoding: identity\r\n\r\n{order}")),
        ("TE gzip, chunked", format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n{chunked}")),
        (
            "TE chunked, identity",
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{chunked}"),
        ),
        (
            "two TE",
            format!(
                "{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}"
            ),
        ),
        ("TE with a tab", format!("{head}Transfer-Encoding:\tchunked\tx\r\n\r\n{chunked}")),
        (
            "TE with a vertical tab",
            format!("{head}Transfer-Encoding: \u{b}chunked\r\n\r\n{chunked}"),
        ),
        (
            "TE in HTTP/1.0",
            head.replace("1.1", "1.0") + &format!("Transfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
        ("space before colon, TE", format!("{head}Transfer-Encoding : chunked\r\n\r\n{chunked}")),
        ("space before colon, CL", format!("{head}Content-Length : {length}\r\n\r\n{order}")),
        ("obs-fold", format!("{head}Content-Length: {length}\r\n X: y\r\n\r\n{order}")),
        ("obs-fold of TE", format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}")),
        (
            "bare LF everywhere",
            format!("{head}Content-Length: {length}\r\n\r\n{order}").replace("\r\n", "\n"),
        ),
        ("bare LF after a field", format!("{head}Content-Length: {length}\nX: y\r\n\r\n{order}")),
        (
            "bare CR in a value",
            format!("{head}X: a\rContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{order}"),
        ),
        ("NUL in a value", format!("{head}X: a\0b\r\nContent-Length: {length}\r\n\r\n{order}")),
        ("NUL in a name", format!("{head}X\0: a\r\nContent-Length: {length}\r\n\r\n{order}")),
        ("a field without colon", format!("{head}Content-Length\r\n\r\n{order}")),
        ("an empty name", format!("{head}: x\r\nContent-Length: {length}\r\n\r\n{order}")),
        ("two Hosts", format!("{head}Host: b\r\nContent-Length: {length}\r\n\r\n{order}")),
        (
            "a Host that is none",
            head.replace("Host: a\r\n", "Host: a b/@\r\n")
                + &format!("Content-Length: {length}\r\n\r\n{order}"),
        ),
        (
            "no Host",
            head.replace("Host: a\r\n", "") + &format!("Content-Length: {length}\r\n\r\n{order}"),
        ),
        (
            "chunk size overflow",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n1000000000000001c\r\n{order}\r\n0\r\n\r\n"
            ),
        ),
        (
            "chunk size with sign",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n+1c\r\n{order}\r\n0\r\n\r\n"),
        ),
        (
            "chunk size 0x",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n0x1c\r\n{order}\r\n0\r\n\r\n"),
        ),
        (
            "chunk longer than said",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{order}\r\n0\r\n\r\n"),
        ),
        (
            "chunk extension without end",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1c;{}\r\n", "x".repeat(40_000)),
        ),
        ("lower-case method", head.replace("POST", "post\u{1}") + "\r\n"),
        ("HTTP/2.0", head.replace("HTTP/1.1", "HTTP/2.0") + "\r\n"),
        ("HTTP/1.2", head.replace("HTTP/1.1", "HTTP/1.2") + "\r\n"),
        ("two spaces in the request line", head.replace("POST /v1", "POST  /v1") + "\r\n"),
        ("a fragment of TLS", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned()),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ];
    for (name, bytes) in cases {
        let before = server.counters("phone")["held"].as_u64().expect("a count");
        let answers = statuses(&server, format!("{bytes}{second}").as_bytes());
        assert!(answers.len() <= 1, "{name}: {answers:?}");
        assert!(answers.iter().all(|status| *status >= 400), "{name}: {answers:?}");
        let after = server.counters("phone")["held"].as_u64().expect("a count");
        assert_eq!(after, before, "{name}: an order was executed");
    }
    // Sound, but the last of their connection.
    let absolute = head.replace("/v1/orders", "http://a/v1/orders");
    for (name, bytes) in [
        ("absolute URI", format!("{absolute}Content-Length: {length}\r\n\r\n{order}")),
        ("chunked", format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunked}")),
    ] {
        assert_eq!(statuses(&server, format!("{bytes}{second}").as_bytes()), [201], "{name}");
    }
    assert_eq!(statuses(&server, second.repeat(3).as_bytes()), [201, 201, 201], "pipelined");
    assert_eq!(server.counters("phone")["held"], 5);
    server.stop();
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let (_folder, server) = start();
    let token = buyer("mallory");
    let head =
        format!("POST /v1/orders HTTP/1.1\r\nHost: a\r\n{token}Content-Type: application/json\r\n");
    let blank = " ".repeat(16 * 1024);
    let order = r#"{"sku":"phone","quantity":1}"#;
    let full = format!("{order}{}", &blank[order.len()..]);
    let long = "x".repeat(40_000);
    for (name, bytes, wanted) in [
        ("a body of 16 KiB", format!("{head}Content-Length: 16384\r\n\r\n{full}"), 201),
        ("one byte more by length", format!("{head}Content-Length: 16385\r\n\r\n{full} "), 413),
        (
            "one byte more by chunks",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n4000\r\n{full}\r\n1\r\n \r\n0\r\n\r\n"
            ),
            413,
        ),
        ("an announced gigabyte", format!("{head}Content-Length: 1073741824\r\n\r\n"), 413),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..5_000]), 414),
        ("a path without end", format!("GET /{long}"), 414),
        ("a long field", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        ("101 fields", format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101)), 431),
        (
            "a token of 9 KiB",
            format!(
                "GET /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
                &long[..9_216]
            ),
            401,
        ),
    ] {
        assert_eq!(statuses(&server, bytes.as_bytes()), [wanted], "{name}");
    }
    server.stop();
}

#[test]
fn what_is_not_plain_json_is_refused() {
    let (_folder, server) = start();
    let token = buyer("mallory");
    let order = r#"{"sku":"phone","quantity":1}"#;
    let post = |fields: &str, body: &[u8]| {
        let mut bytes = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: a\r\n{token}{fields}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        statuses(&server, &bytes)
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(post("Content-Type: application/json; charset=utf-8\r\n", order.as_bytes()), [201]);
    for fields in [
        "".to_owned(),
        "Content-Type: text/plain\r\n".to_owned(),
        format!("{json}Content-Encoding: gzip\r\n"),
        format!("{json}{json}"),
    ] {
        assert_eq!(post(&fields, order.as_bytes()), [415], "{fields}");
    }
    for body in [&b"\xef\xbb\xbf{}"[..], b"{\"sku\":\"\xff\"}", b"\x1f\x8b\x08\x00", b"null", b""] {
        assert_eq!(post(json, body), [400], "{body:?}");
    }
    for keys in [
        "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
        "Idempotency-Key: ...\r\n",
        "Idempotency-Key:\r\n",
        "Idempotency-Key: a b\r\n",
        "Idempotency-Key: \"a\r\n",
    ] {
        assert_eq!(post(&format!("{json}{keys}"), order.as_bytes()), [400], "{keys}");
    }
    assert_eq!(
        statuses(
            &server,
            format!(
                "POST /v1/orders?x=1 HTTP/1.1\r\nHost: a\r\n{token}{json}\
        Content-Length: {}\r\n\r\n{order}",
                order.len()
            )
            .as_bytes()
        ),
        [400]
    );
    server.stop();
}

#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    let (_folder, server) = start();
    let body = json!({"sku": "phone", "quantity": 1}).to_string();
    let fields = format!(
        "{}Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n",
        buyer("a"),
        body.len()
    );
    let mut client = Client::connect(server.buyers);
    client.send("POST", "/v1/orders", &fields, None);
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(100));
    client.write(body.as_bytes());
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(201));
    // And is not when it would be refused anyway.
    client.send("POST", "/v1/orders", &fields.replace("Bearer ", "Bearer x"), None);
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(401));
    server.stop();
}

#[test]
fn connections_have_their_ceilings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &["--connections-per-address-max", "2"]);
    let mut held: Vec<Client> = (0..2).map(|_| Client::connect(server.buyers)).collect();
    for client in &mut held {
        assert_eq!(client.call("GET", "/v1/skus", "", None).status, 200);
    }
    let mut third = Client::connect(server.buyers);
    let turned_away = third.answer(false).expect("an answer without a question");
    assert_eq!(turned_away.status, 429);
    assert_eq!(turned_away.json()["code"], "rate_limited");
    assert_eq!(turned_away.field("retry-after"), Some("1"));
    assert_eq!(turned_away.field("ratelimit"), Some("\"connections\";r=0;t=1"));
    assert_eq!(turned_away.field("ratelimit-policy"), Some("\"connections\";q=2"));
    server.stop();
}

/// Sends a byte of `bytes` now and then, the last of them again and again, until the server closes.
fn dawdle(mut client: Client, bytes: &[u8]) {
    let mut sent = 0;
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    loop {
        let last = bytes.len().saturating_sub(1);
        client.write(bytes.get(sent.min(last)..=sent.min(last)).unwrap_or_default());
        sent += 1;
        let mut answer = Vec::new();
        match client.stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => {
                // Whatever it said before it closed, it was no success.
                assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", answer.escape_ascii());
                return;
            }
        }
        assert!(sent < 120, "the server waits for ever: {}", bytes.escape_ascii());
    }
}

#[test]
fn who_dawdles_is_let_go_and_nobody_else() {
    let (_folder, server) = start();
    let head = format!("POST /v1/orders HTTP/1.1\r\nHost: a\r\n{}X: ", buyer("slow"));
    let (before_body, _) = head.rsplit_once("X: ").expect("two parts");
    let body = format!(
        "{before_body}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{\"sku\": "
    );
    let chunks = format!(
        "{before_body}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"
    );
    let mut patient = Client::connect(server.buyers);
    assert_eq!(patient.call("GET", "/v1/skus", "", None).status, 200);
    let begun = |bytes: &str| {
        let mut client = Client::connect(server.buyers);
        client.write(bytes.as_bytes());
        client
    };
    thread::scope(|scope| {
        for (said, then) in [
            ("", ""),
            ("", "GET /v1/skus HTTP/1.1\r\nX: xxxx"),
            (&head, "x"),
            ("\r\n", "\r\n"),
            (&body, " "),
            (&chunks, ""),
        ] {
            let client = begun(said);
            scope.spawn(move || dawdle(client, then.as_bytes()));
        }
        let paused = before_body.to_owned();
        let mut client = begun("");
        scope.spawn(move || {
            let order = r#"{"sku":"phone","quantity":1}"#;
            let length = order.len();
            client.write(
                format!(
                    "{paused}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                )
                .as_bytes(),
            );
            thread::park_timeout(Duration::from_secs(6));
            client.write(order.as_bytes());
            assert_eq!(client.answer(false).map(|answer| answer.status), Some(201));
        });
        // As many as may wait on one connection while others dawdle are served.
        for _ in 0..20 {
            assert_eq!(patient.call("GET", "/v1/skus", "", None).status, 200);
            thread::park_timeout(Duration::from_millis(100));
        }
    });
    assert_eq!(patient.call("GET", "/v1/skus", "", None).status, 200, "an idle one is kept");
    assert_eq!(server.counters("phone")["held"], 1, "of the one who came to an end");
    server.stop();
}
