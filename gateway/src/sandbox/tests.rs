//! The sandbox's routes, with payments made up.

use super::calls::tests::{keys, webhook};
use super::calls::{Added, Schedule};
use super::refunds::{FailingRefunds, RefundAsked, Refunds};
use super::{PaymentFacts, Payments, Sandbox, pay_url, router};
use crate::problem::{Code, Problem};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper::StatusCode;
use sluice_core::event::NoticeKind;
use sluice_core::money::{Amount, Currency};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A payment to try things with.
pub(super) fn facts() -> PaymentFacts {
    PaymentFacts {
        payment: "01KAPAYMENT".into(),
        order: "01KAORDER".into(),
        amount: Amount::new(599_900).expect("in range"),
        currency: Currency::new("CNY").expect("a code"),
        status: "open",
        is_open: true,
    }
}

struct One;

impl Payments for One {
    async fn find(&self, payment: &str) -> Result<Option<PaymentFacts>, Problem> {
        match payment {
            "busy" => Err(Problem::new(Code::Overloaded, "too many requests are waiting")),
            payment => Ok(Some(facts()).filter(|facts| *facts.payment == *payment)),
        }
    }
}

/// A refund that is asked for and stays so.
struct OneRefund;

impl Refunds for OneRefund {
    async fn open(&self, _: Option<&str>, _: usize) -> Result<Vec<RefundAsked>, Problem> {
        let PaymentFacts { order, amount, currency, .. } = facts();
        Ok(vec![RefundAsked { payment: "another".into(), order, amount, currency }])
    }
}

struct Shop {
    router: axum::Router,
    added: Added,
}

impl Shop {
    fn new() -> Self {
        let (schedule, added) = Schedule::new();
        let failing: Arc<FailingRefunds> = Arc::default();
        let sandbox = Sandbox { payments: One, schedule, failing };
        Self { router: router(Arc::new(sandbox)), added }
    }

    /// One whose calls are made to `listener`.
    fn open(listener: &TcpListener) -> Self {
        let (runtime, address) = (Handle::current(), listener.local_addr().expect("bound"));
        let sandbox = Sandbox::start(&runtime, address, &keys(), One, OneRefund);
        Self { router: router(sandbox), added: Schedule::new().1 }
    }

    async fn ask(&self, method: &str, path: &str, media: &str, body: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/sandbox/payments/{path}"))
            .header("content-type", media)
            .body(Body::from(body.to_owned()))
            .expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer")
    }

    async fn code(&self, method: &str, path: &str, media: &str, body: &str) -> Code {
        let response = self.ask(method, path, media, body).await;
        response.extensions().get::<Problem>().expect("a problem").code
    }
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn a_payment_has_a_page() {
    let shop = Shop::new();
    let response = shop.ask("GET", "01KAPAYMENT", "", "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("content-security-policy"));
    let page = text(response).await;
    assert!(page.contains("01KAORDER") && page.contains("CNY 5,999.00"), "{page}");
    let told = text(shop.ask("GET", "01KAPAYMENT?told=1", "", "").await).await;
    assert!(told.contains("yet to hear"), "{told}");
    assert_eq!(shop.code("GET", "01KAPAYMENT?tell=1", "", "").await, Code::InvalidRequest);
    for nobody in ["other", "%FF", "%00", "..", "%3Cscript%3E"] {
        assert_eq!(shop.code("GET", nobody, "", "").await, Code::NotFound, "{nobody}");
        assert_eq!(shop.code("POST", nobody, FORM, "outcome=pay").await, Code::NotFound);
    }
    assert_eq!(shop.code("GET", "busy", "", "").await, Code::Overloaded);
}

#[test]
fn a_payment_is_paid_at_its_page() {
    for (listener, wanted) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/sandbox/payments/01KA"),
        ("[::]:80", "http://[::1]:80/sandbox/payments/01KA"),
    ] {
        assert_eq!(pay_url(listener.parse().expect("an address"), "01KA"), wanted);
    }
}

#[tokio::test]
async fn a_form_is_sent_once_and_leads_back_to_the_page() {
    let mut shop = Shop::new();
    let form = "outcome=pay&delay_seconds=3&times=2&amount=";
    let response = shop.ask("POST", "01KAPAYMENT?", FORM, form).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "?told=1");
    let delivery = shop.added.try_next().expect("scheduled");
    assert_eq!((delivery.calls(), delivery.delay.as_secs()), (2, 3));
    let notice = &delivery.notices[0];
    assert_eq!((notice.kind, notice.amount), (NoticeKind::PaymentSucceeded, facts().amount));
    assert_eq!((&*notice.payment, &*notice.order), (&*facts().payment, &*facts().order));
}

#[tokio::test]
async fn a_program_says_it_in_json() {
    let mut shop = Shop::new();
    let body = r#"{"outcome":"fail","out_of_order":true,"amount":1}"#;
    let response = shop.ask("POST", "01KAPAYMENT", JSON, body).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(text(response).await, r#"{"calls":2,"delay_seconds":0}"#);
    assert_eq!(shop.added.try_next().map(|delivery| delivery.calls()), Some(2));
    for (media, body, code) in [
        (JSON, r#"{"outcome":"maybe"}"#, Code::InvalidRequest),
        (JSON, "outcome=pay", Code::InvalidRequest),
        (FORM, r#"{"outcome":"pay"}"#, Code::InvalidRequest),
        ("text/plain", "outcome=pay", Code::UnsupportedMediaType),
        ("multipart/form-data; boundary=x", "outcome=pay", Code::UnsupportedMediaType),
        (JSON, &" ".repeat(16 * 1024 + 1), Code::BodyTooLarge),
    ] {
        assert_eq!(shop.code("POST", "01KAPAYMENT", media, body).await, code, "{media} {body:.40}");
    }
    assert_eq!(
        shop.code("POST", "01KAPAYMENT?a=1", FORM, "outcome=pay").await,
        Code::InvalidRequest
    );
    assert!(shop.added.try_next().is_none(), "what is refused has no effect");
}

#[tokio::test]
async fn what_finds_no_place_is_refused() {
    let shop = Shop::new();
    let form = "outcome=pay&times=5&out_of_order=on";
    for _ in 0..102 {
        assert_eq!(shop.ask("POST", "01KAPAYMENT", FORM, form).await.status(), 303);
    }
    assert_eq!(shop.code("POST", "01KAPAYMENT", FORM, form).await, Code::Overloaded);
}

#[tokio::test]
async fn payments_are_settled_and_refunds_performed_by_the_webhook() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let shop = Shop::open(&listener);
    let paid = shop.ask("POST", "01KAPAYMENT", FORM, "outcome=pay").await;
    assert_eq!(paid.status(), StatusCode::SEE_OTHER);
    let (sender, mut heard) = mpsc::channel(2);
    webhook(listener, vec![StatusCode::OK; 2], sender).await;
    let mut calls = Vec::new();
    while let Some((_, notice)) = heard.recv().await {
        calls.push((notice.kind, notice.payment));
    }
    calls.sort_by(|one, other| one.1.cmp(&other.1));
    let wanted = [
        (NoticeKind::PaymentSucceeded, "01KAPAYMENT".into()),
        (NoticeKind::RefundSucceeded, "another".into()),
    ];
    assert_eq!(calls, wanted);
}
