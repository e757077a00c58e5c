//! The sandbox's page of one payment: one document that loads nothing and runs no script.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use ring::digest::{SHA256, digest};

use sluice_core::money::{AMOUNT_MAX, Amount, Currency};

use super::PaymentFacts;
use super::manners::{DELAY_SECONDS_MAX, TIMES_MAX};

const STYLE: &str = include_str!("page.css");

/// Nothing but the page's own style, by its digest (CSP 3, 2.3.1), and its own form.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("visible ASCII")
});

/// The page of a payment; `told` if the provider was just told what to do.
pub(super) fn of(facts: &PaymentFacts, told: bool) -> Response {
    let mut response = Response::new(Body::from(document(facts, told)));
    let fixed: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

fn document(facts: &PaymentFacts, told: bool) -> String {
    let amount = money(facts.amount, facts.currency);
    let (refresh, note) = match (told, facts.is_open) {
        // It looks again until the shop has heard of it.
        (true, true) => (
            "<meta http-equiv=\"refresh\" content=\"2\">",
            "<p class=\"note\" role=\"status\">The provider was told. The shop is yet to hear of it.</p>",
        ),
        (true, false) => ("", "<p class=\"note\" role=\"status\">The shop has heard of it.</p>"),
        (false, _) => ("", ""),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{refresh}\
         <title>Pay {amount}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p>A sandbox: no money moves.</p>\n<h1>{amount}</h1>\n{note}\
         <dl>\n<dt>Order</dt><dd>{order}</dd>\n<dt>Payment</dt><dd>{payment}</dd>\n\
         <dt>Status</dt><dd>{status}</dd>\n</dl>\n{form}</main>\n</body>\n</html>\n",
        order = escaped(&facts.order),
        payment = escaped(&facts.payment),
        status = escaped(facts.status),
        form = form(facts.amount),
    )
}

/// The form goes to the page's own address, without its query.
fn form(amount: Amount) -> String {
    format!(
        "<form method=\"post\" action=\"?\">\n\
         <button name=\"outcome\" value=\"pay\">Pay</button>\n\
         <button name=\"outcome\" value=\"fail\">Fail</button>\n\
         <details>\n<summary>Bad manners</summary>\n\
         <label>Seconds late<input type=\"number\" name=\"delay_seconds\" value=\"0\" min=\"0\" \
         max=\"{DELAY_SECONDS_MAX}\" required></label>\n\
         <label>Times<input type=\"number\" name=\"times\" value=\"1\" min=\"1\" \
         max=\"{TIMES_MAX}\" required></label>\n\
         <label>Then the contrary, out of order<input type=\"checkbox\" name=\"out_of_order\"></label>\n\
         <label>Wrong amount, in minor units<input type=\"number\" name=\"amount\" min=\"0\" \
         max=\"{AMOUNT_MAX}\" placeholder=\"{minor}\"></label>\n\
         <label>A refund of it fails<input type=\"checkbox\" name=\"refund_fails\"></label>\n\
         </details>\n</form>\n",
        minor = amount.minor(),
    )
}

/// Text that is data, safe between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// An amount as people read it: in the currency's unit, with its digits behind the point.
fn money(amount: Amount, currency: Currency) -> String {
    let digits = minor_digits(currency);
    let unit = 10_u64.pow(digits as u32);
    let whole = (amount.minor() / unit).to_string();
    let mut text = format!("{currency} ");
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if digits > 0 {
        write!(text, ".{:0digits$}", amount.minor() % unit).expect("into a string");
    }
    text
}

/// Digits of a currency's minor unit (ISO 4217).
fn minor_digits(currency: Currency) -> usize {
    match currency.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{AMOUNT_MAX, Amount, Currency, document, escaped, money, of};
    use crate::sandbox::tests::facts;

    #[test]
    fn amounts_are_shown_in_the_currencys_unit() {
        for (minor, code, wanted) in [
            (0, "CNY", "CNY 0.00"),
            (7, "EUR", "EUR 0.07"),
            (599_900, "CNY", "CNY 5,999.00"),
            (100_000, "USD", "USD 1,000.00"),
            (599_900, "JPY", "JPY 599,900"),
            (1_234_567, "KWD", "KWD 1,234.567"),
            (12_345, "CLF", "CLF 1.2345"),
            (AMOUNT_MAX, "CNY", "CNY 90,071,992,547,409.91"),
        ] {
            let amount = Amount::new(minor).expect("in range");
            assert_eq!(money(amount, Currency::new(code).expect("a code")), wanted);
        }
    }

    #[test]
    fn what_is_data_is_never_markup() {
        let hostile = "\"><script>alert('&')</script>";
        assert_eq!(
            escaped(hostile),
            "&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"
        );
        let mut facts = facts();
        (facts.order, facts.payment) = (hostile.into(), hostile.into());
        let page = document(&facts, false);
        assert_eq!(page.matches("&lt;script&gt;").count(), 2);
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_page_loads_nothing_and_says_so() {
        let page = document(&facts(), false);
        for outside in
            ["http:", "https:", "//", "src=", "href=", "@import", "url(", " on", "style="]
        {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("CNY 5,999.00") && page.contains("name=\"viewport\""));
        let response = of(&facts(), false);
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    }

    #[test]
    fn it_looks_again_until_the_shop_has_heard() {
        let mut facts = facts();
        let refreshes = |page: String| page.contains("http-equiv=\"refresh\"");
        assert!(refreshes(document(&facts, true)) && !refreshes(document(&facts, false)));
        facts.is_open = false;
        assert!(!refreshes(document(&facts, true)));
    }
}
