//! Calls that arrive at a real socket and are judged as the server judges them.

use super::{Added, CALLS_MAX, Caller, Delivery, Schedule, reachable};
use crate::sandbox::tests::facts;
use crate::webhook::signature::{Keys, Signer, Verifier};
use crate::{clock, webhook};
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use sluice_core::command::Notice;
use sluice_core::event::NoticeKind;
use sluice_core::id::RequestId;
use smallvec::smallvec;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The keys that the webhook below knows.
pub(in crate::sandbox) fn keys() -> Keys {
    Keys::parse(SECRET).expect("right")
}

fn notice(kind: NoticeKind) -> Notice {
    let facts = facts();
    Notice {
        kind,
        payment: facts.payment.into(),
        order: facts.order.into(),
        amount: facts.amount,
        currency: facts.currency.as_str().into(),
        request: RequestId::NONE,
    }
}

fn once(kind: NoticeKind) -> Delivery {
    Delivery { delay: Duration::ZERO, times: 1, notices: smallvec![notice(kind)] }
}

/// Takes one connection for each answer, and gives it to the notice that came.
pub(in crate::sandbox) async fn webhook(
    listener: TcpListener,
    answers: Vec<StatusCode>,
    heard: mpsc::Sender<(String, Notice)>,
) {
    let verifier = Arc::new(Verifier::new(&keys()));
    for answer in answers {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let (verifier, heard) = (Arc::clone(&verifier), heard.clone());
            async move {
                assert_eq!(request.uri().path(), "/v1/webhooks/payments");
                assert!(request.headers().contains_key("host"));
                let id = request.headers()["webhook-id"].to_str().expect("ASCII").to_owned();
                let now = clock::wall_seconds();
                let admitted = webhook::admitted(&verifier, now, request.map(Body::new)).await;
                let notice = admitted.expect("signed like anyone else's").expect("a known type");
                heard.send((id, notice)).await.expect("there is room");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = answer;
                Ok::<_, Infallible>(response)
            }
        });
        // The caller may close before it is over.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// What a webhook that answers so hears until the last call is made.
async fn heard(deliveries: Vec<Delivery>, answers: &[u16]) -> Vec<(String, Notice)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, mut receiver) = mpsc::channel(64);
    let answers = answers.iter().map(|status| StatusCode::from_u16(*status).expect("a status"));
    let (schedule, added): (Schedule, Added) = Schedule::new();
    for delivery in deliveries {
        schedule.add(delivery).expect("there is room");
    }
    drop(schedule);
    let caller = Caller::new(address, Signer::new(&keys()), added);
    tokio::join!(caller.run(), webhook(listener, answers.collect(), sender));
    let mut all = Vec::new();
    while let Some(one) = receiver.recv().await {
        all.push(one);
    }
    all
}

#[tokio::test]
async fn calls_come_in_the_order_they_were_told_under_the_same_ids() {
    use NoticeKind::{PaymentFailed, PaymentSucceeded};
    let notices = smallvec![notice(PaymentSucceeded), notice(PaymentFailed)];
    let twice = Delivery { delay: Duration::ZERO, times: 2, notices };
    let calls = heard(vec![twice], &[200; 4]).await;
    let kinds: Vec<_> = calls.iter().map(|(_, notice)| notice.kind).collect();
    assert_eq!(kinds, [PaymentSucceeded, PaymentFailed, PaymentSucceeded, PaymentFailed]);
    assert!(calls[0].0 == calls[2].0 && calls[1].0 == calls[3].0 && calls[0].0 != calls[1].0);
    assert_eq!(calls[0].1, notice(PaymentSucceeded));
}

#[tokio::test]
async fn a_call_is_made_again_while_the_server_cannot_take_it() {
    let once = once(NoticeKind::RefundSucceeded);
    let calls = heard(vec![once], &[503, 504, 429, 500, 200]).await;
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    let once = once(NoticeKind::RefundFailed);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (schedule, added) = Schedule::new();
    schedule.add(once).expect("there is room");
    drop(schedule);
    let caller = Caller::new(address, Signer::new(&keys()), added);
    let (sender, mut receiver) = mpsc::channel(1);
    let breaking = async {
        for _ in 0..2 {
            drop(listener.accept().await.expect("a connection"));
        }
        webhook(listener, vec![StatusCode::OK], sender).await;
    };
    tokio::join!(caller.run(), breaking);
    assert!(receiver.recv().await.is_some());
}

#[tokio::test]
async fn a_call_that_is_refused_is_not_made_again() {
    let calls = heard(vec![once(NoticeKind::PaymentFailed)], &[400]).await;
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn calls_to_come_have_a_ceiling() {
    let (schedule, mut added) = Schedule::new();
    let ten = Delivery {
        times: 5,
        notices: smallvec![notice(NoticeKind::PaymentFailed), notice(NoticeKind::PaymentSucceeded)],
        ..once(NoticeKind::PaymentFailed)
    };
    for _ in 0..CALLS_MAX / 10 {
        assert_eq!(schedule.add(ten.clone()), Ok(()));
    }
    assert_eq!(schedule.add(ten.clone()).expect_err("I6").code.status(), 503);
    assert_eq!(schedule.add(once(NoticeKind::PaymentFailed)), Ok(()), "all or none");
    assert_eq!(added.try_next().map(|delivery| delivery.calls()), Some(10));
    assert_eq!(schedule.add(ten), Ok(()));
}

#[test]
fn a_server_on_all_addresses_is_called_on_its_own() {
    for (listener, wanted) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("10.1.2.3:80", "10.1.2.3:80"),
        ("[::1]:81", "[::1]:81"),
    ] {
        let address = reachable(listener.parse().expect("an address"));
        assert_eq!(address, wanted.parse().expect("an address"));
    }
}
