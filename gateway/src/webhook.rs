//! The webhook of payment providers: who calls, and what the call says. What becomes of a notice is
//! the ledger's to decide.

use axum::extract::Request;

use sluice_core::command::Notice;

use crate::problem::Problem;
use crate::{body, operators, query};

use signature::Verifier;

pub(crate) mod notice;
pub(crate) mod signature;

/// Lets a call in that came at `now`, in seconds since the epoch, if it is the provider's, and
/// reads its notice; `None` if it tells of nothing that matters here.
///
/// A signature needs the body, so a body that is too large is refused before a signature that is
/// wrong; after one that cannot be right whatever the body is.
///
/// # Errors
/// 401 for a signature or a time that is wrong, 413, 415, 400.
pub(crate) async fn admitted(
    verifier: &Verifier,
    now: u64,
    request: Request,
) -> Result<Option<Notice>, Problem> {
    let id = operators::request_id(&request);
    let (head, mut body) = request.into_parts();
    let claim = verifier.claim(&head.headers, now)?;
    body::check_length(&body)?;
    let bytes = operators::read_in_time(&mut body).await?;
    verifier.verify(&claim, &bytes)?;
    body::check_media_type(&head.headers)?;
    query::none(&head.uri)?;
    Ok(notice::read(&bytes, id)?)
}

#[cfg(test)]
mod tests {
    use super::admitted;
    use super::notice;
    use super::signature::{Keys, Signer, Verifier};
    use crate::body::BODY_BYTES_MAX;
    use crate::problem::{Code, Problem};
    use axum::body::Body;
    use axum::extract::Request;
    use sluice_core::id::RequestId;

    const NOW: u64 = 1_794_355_200;
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn call(body: &str) -> Request {
        let keys = Keys::parse(SECRET).expect("right");
        let signature = Signer::new(&keys).sign("m", NOW, body.as_bytes());
        Request::post("/v1/webhooks/payments")
            .header("content-type", "application/json")
            .header("webhook-id", "m")
            .header("webhook-timestamp", NOW)
            .header("webhook-signature", signature)
            .body(Body::from(body.to_owned()))
            .expect("a request")
    }

    async fn judged(change: impl FnOnce(&mut Request), body: &str) -> Result<(), Problem> {
        let mut request = call(body);
        change(&mut request);
        let verifier = Verifier::new(&Keys::parse(SECRET).expect("right"));
        let notice = admitted(&verifier, NOW, request).await?;
        assert_eq!(notice, notice::read(body.as_bytes(), RequestId::NONE).expect("a notice"));
        Ok(())
    }

    #[tokio::test]
    async fn refusals_come_in_the_contracts_order() {
        let good = r#"{"type":"payment.failed","payment_id":"p","order_id":"o","amount":0,"currency":"EUR"}"#;
        assert_eq!(judged(|_| (), good).await, Ok(()));
        assert_eq!(judged(|_| (), r#"{"type":"invoice.sent"}"#).await, Ok(()));
        let large = " ".repeat(BODY_BYTES_MAX + 1);
        let forge = |request: &mut Request| {
            let wrong = format!("v1,{}=", "A".repeat(43)).parse().expect("a value");
            request.headers_mut().insert("webhook-signature", wrong);
        };
        let unsign = |request: &mut Request| drop(request.headers_mut().remove("webhook-id"));
        let rename = |request: &mut Request| {
            let wrong = "text/plain".parse().expect("a value");
            request.headers_mut().insert("content-type", wrong);
        };
        let ask = |request: &mut Request| *request.uri_mut() = "/x?a=1".parse().expect("a URI");
        let code = async |change: &dyn Fn(&mut Request), body: &str| {
            judged(change, body).await.expect_err("refused").code
        };
        assert_eq!(code(&|r| (unsign(r), rename(r)).0, &large).await, Code::InvalidSignature);
        assert_eq!(code(&|r| (forge(r), rename(r)).0, &large).await, Code::BodyTooLarge);
        assert_eq!(code(&|r| (forge(r), rename(r)).0, "{").await, Code::InvalidSignature);
        assert_eq!(code(&|r| (rename(r), ask(r)).0, "{").await, Code::UnsupportedMediaType);
        assert_eq!(code(&ask, good).await, Code::InvalidRequest);
        assert_eq!(code(&|_| (), "{").await, Code::InvalidRequest);
    }
}
