//! Secrets as values that do not print themselves, and the server's file of them.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// A secret string; its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself, for signing and sending.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the generator uses of the server's `secrets.toml`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The key of the buyers' tokens.
    pub jwt: Option<Secret>,
    /// The operators' bearer token.
    pub admin: Option<Secret>,
    /// What payment webhooks are signed with.
    pub webhook: Option<Secret>,
}

#[derive(serde::Deserialize)]
struct SecretsFile {
    jwt_secret: Option<String>,
    admin_token: Option<String>,
    webhook_secret: Option<String>,
}

impl Secrets {
    /// Reads `<data-dir>/secrets.toml`.
    pub fn read(path: &Path) -> Result<Secrets> {
        let bad = |why: String| Error::setting("secrets", &path.display(), why);
        let text = std::fs::read_to_string(path)
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        // The parser's own message would quote the line, and with it the secret.
        let file: SecretsFile = toml::from_str(&text).map_err(|_| {
            bad("must be TOML with the strings jwt_secret, admin_token and webhook_secret"
                .to_owned())
        })?;
        Ok(Secrets {
            jwt: file.jwt_secret.map(Secret::new),
            admin: file.admin_token.map(Secret::new),
            webhook: file.webhook_secret.map(Secret::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
