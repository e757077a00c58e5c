//! What a run sends: orders, as buyers place them, or one fixed request.

use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::limits;
use crate::range::{range_text, within};
use crate::secret::Secret;

/// What is sent.
#[derive(Clone, Debug)]
pub enum Work {
    /// Orders, as buyers place them.
    Orders(Orders),
    /// The same bytes each time, for servers that are no Sluice.
    Fixed(Fixed),
}

/// Orders for one SKU each.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The SKUs; each order picks one.
    pub skus: Vec<String>,
    /// Units in each order.
    pub quantity: u32,
    /// How many buyers take turns.
    pub buyers: u32,
    /// The key of their tokens.
    pub jwt_secret: Secret,
    /// Units that one buyer may have of one SKU; 0 is no limit, `None` is not known.
    pub per_buyer_limit: Option<u32>,
    /// The operators' side, if it may be used.
    pub ops: Option<Ops>,
    /// What to set up before the run; needs `ops`.
    pub setup: Option<Setup>,
    /// Whether to check afterwards all that was acknowledged.
    pub audit: bool,
}

/// The operators' listener.
#[derive(Clone, Debug)]
pub struct Ops {
    /// Where it is.
    pub url: Endpoint,
    /// The operators' token.
    pub admin_token: Secret,
}

/// SKUs as they are to be before the run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Units added to each SKU.
    pub stock: u64,
    /// Price of a unit in minor units.
    pub unit_price: u64,
    /// Currency code.
    pub currency: String,
    /// How long an order is held unpaid.
    pub hold_seconds: u32,
}

/// One request, sent again and again.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// `GET`, `POST` …
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Headers beside `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The statuses that count as accepted; other answers count as unexpected.
    pub expected: Vec<u16>,
}

impl Orders {
    pub(crate) fn check(&self) -> Result<()> {
        if !limits::SKUS.contains(&self.skus.len()) {
            return Err(Error::setting("skus", &self.skus.len(), range_text(&limits::SKUS, "")));
        }
        for (index, sku) in self.skus.iter().enumerate() {
            let named = !sku.is_empty()
                && sku.len() <= 64
                && sku.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !named {
                return Err(Error::setting("sku", sku, "must be 1 to 64 of A-Z a-z 0-9 . _ -"));
            }
            if self.skus[..index].contains(sku) {
                return Err(Error::setting("sku", sku, "may be named once"));
            }
        }
        within("quantity", &self.quantity, &limits::QUANTITY, "units")?;
        within("buyers", &self.buyers, &limits::BUYERS, "")?;
        if self.jwt_secret.expose().len() < limits::JWT_SECRET_BYTES_MIN {
            let range = format!("must have at least {} bytes", limits::JWT_SECRET_BYTES_MIN);
            return Err(Error::setting("jwt-secret", "(hidden)", range));
        }
        if let Some(ops) = &self.ops
            && !ops.admin_token.expose().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Error::setting("admin-token", "(hidden)", "must be visible ASCII"));
        }
        match &self.setup {
            Some(_) if self.ops.is_none() => Err(Error::setting(
                "stock",
                "given",
                "setting up SKUs needs --admin-token or --secrets as well",
            )),
            Some(setup) => setup.check(),
            None => Ok(()),
        }
    }
}

impl Setup {
    pub(crate) fn check(&self) -> Result<()> {
        within("stock", &self.stock, &limits::STOCK, "units")?;
        within("price", &self.unit_price, &limits::PRICE, "minor units")?;
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            return Err(Error::setting(
                "currency",
                &self.currency,
                "must be three capital letters",
            ));
        }
        within("hold-seconds", &self.hold_seconds, &(1..=u32::MAX), "")
    }
}

impl Fixed {
    pub(crate) fn check(&self) -> Result<()> {
        let token =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !token(&self.method) {
            return Err(Error::setting("method", &self.method, "must be one visible word"));
        }
        if !self.path.starts_with('/') || !token(&self.path) {
            return Err(Error::setting("path", &self.path, "must begin with / and have no spaces"));
        }
        for (name, value) in &self.headers {
            if !token(name) || name.contains(':') || value.contains(['\r', '\n', '\0']) {
                return Err(Error::setting(
                    "header",
                    name,
                    "must be one header: a name without colon, a value on one line",
                ));
            }
        }
        Ok(())
    }
}
