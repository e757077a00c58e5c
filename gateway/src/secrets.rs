//! The node's secrets: from the environment, or generated at first start into `secrets.toml` of
//! the data directory. They are never printed and have no `Debug`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::ids;
use crate::settings::SettingsError;
use crate::webhook::signature::{KEYS_RANGE, Keys};

/// Shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 32;

const FILE_NAME: &str = "secrets.toml";

const WEBHOOK_SECRET: &str = "SLUICE_WEBHOOK_SECRET";

/// What the node signs and recognises with.
pub struct Secrets {
    /// The HS256 key of access tokens.
    pub jwt_secret: String,
    /// The operators' bearer token.
    pub admin_token: String,
    /// What payment providers' calls are signed with.
    pub(crate) webhook_keys: Keys,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    jwt_secret: String,
    admin_token: String,
    webhook_secret: String,
}

/// Secrets that the environment gives; they go before those of the file.
pub struct Given {
    jwt_secret: Option<String>,
    admin_token: Option<String>,
    webhook_keys: Option<Keys>,
}

impl Given {
    /// Takes what `environment` gives. Touches no file.
    ///
    /// # Errors
    /// A secret that is too weak.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let given = |name: &str| environment(name).map(|given| checked(name, given)).transpose();
        let webhook = environment(WEBHOOK_SECRET).map(|given| keys(WEBHOOK_SECRET, &given));
        Ok(Self {
            jwt_secret: given("SLUICE_JWT_SECRET")?,
            admin_token: given("SLUICE_ADMIN_TOKEN")?,
            webhook_keys: webhook.transpose()?,
        })
    }

    /// The operators' token, of the environment or of the file in `data_dir`, which must be there.
    ///
    /// # Errors
    /// There is neither, or the file cannot be read.
    pub fn admin_token(self, data_dir: &Path) -> Result<String, SettingsError> {
        if let Some(given) = self.admin_token {
            return Ok(given);
        }
        let path = data_dir.join(FILE_NAME);
        if !path.exists() {
            let what = "holds no secrets: name the server's --data-dir, or set SLUICE_ADMIN_TOKEN";
            return Err(SettingsError::new("data-dir", &data_dir.display().to_string(), what));
        }
        Ok(read_or_make(data_dir, &path)?.admin_token)
    }

    /// Takes the rest from the file in `data_dir`, which is made if there is none.
    ///
    /// # Errors
    /// A secret that is too weak, or a file that cannot be read or made.
    pub fn complete(self, data_dir: &Path) -> Result<Secrets, SettingsError> {
        let path = data_dir.join(FILE_NAME);
        let kept = read_or_make(data_dir, &path)?;
        let file = path.display().to_string();
        let pick = |given: Option<String>, key: &str, kept: String| match given {
            Some(given) => Ok(given),
            None => checked(&format!("{key} in {file}"), kept),
        };
        Ok(Secrets {
            jwt_secret: pick(self.jwt_secret, "jwt_secret", kept.jwt_secret)?,
            admin_token: pick(self.admin_token, "admin_token", kept.admin_token)?,
            webhook_keys: match self.webhook_keys {
                Some(given) => given,
                None => keys(&format!("webhook_secret in {file}"), &kept.webhook_secret)?,
            },
        })
    }
}

fn checked(name: &str, secret: String) -> Result<String, SettingsError> {
    if secret.len() < SECRET_BYTES_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let range = format!("at least {SECRET_BYTES_MIN} bytes of visible ASCII");
        return Err(SettingsError::secret(name, &range));
    }
    Ok(secret)
}

/// The keys of a list of webhook secrets.
fn keys(name: &str, list: &str) -> Result<Keys, SettingsError> {
    Keys::parse(list).ok_or_else(|| SettingsError::secret(name, KEYS_RANGE))
}

fn read_or_make(data_dir: &Path, path: &Path) -> Result<Kept, SettingsError> {
    let failed = |error: &dyn std::fmt::Display| {
        SettingsError::new("data-dir", &path.display().to_string(), &error.to_string())
    };
    if !path.exists() && make(data_dir, path).map_err(|error| failed(&error))? {
        tracing::info!("secrets generated into {}", path.display());
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let mode = fs::metadata(path).map_err(|error| failed(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("{} can be read by others: chmod 600", path.display());
    }
    // The parser's own message would quote the line, and with it the secret.
    toml::from_str(&text).map_err(|_| {
        failed(&"must hold jwt_secret, admin_token and webhook_secret, each a string, no more")
    })
}

/// Writes new secrets beside the place and links them into it, so that of two that do so at once
/// one wins and both read the same. Says whether it was this one.
fn make(data_dir: &Path, path: &Path) -> io::Result<bool> {
    fs::create_dir_all(data_dir)?;
    // Removed when dropped; a name that was never there, whatever a killed start has left.
    let mut draft = tempfile::Builder::new()
        .prefix("secrets.")
        .suffix(".tmp")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(data_dir)?;
    let secret = || URL_SAFE_NO_PAD.encode(ids::seed());
    writeln!(draft, "jwt_secret = \"{}\"", secret())?;
    writeln!(draft, "admin_token = \"{}\"", secret())?;
    writeln!(draft, "webhook_secret = \"whsec_{}\"", STANDARD.encode(ids::seed()))?;
    draft.as_file().sync_all()?;
    let linked = fs::hard_link(draft.path(), path);
    drop(draft);
    File::open(data_dir)?.sync_all()?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Given, Keys, Secrets, WEBHOOK_SECRET};
    use crate::settings::SettingsError;
    use crate::webhook::signature::Signer;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn load(
        data_dir: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, SettingsError> {
        Given::read(environment)?.complete(data_dir)
    }

    #[test]
    fn generated_once_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let first = load(folder.path(), |_| None).expect("made");
        let second = load(folder.path(), |_| None).expect("read");
        assert!(first.jwt_secret.len() >= 32 && first.jwt_secret != first.admin_token);
        assert!(first.jwt_secret == second.jwt_secret && first.admin_token == second.admin_token);
        let path = folder.path().join("secrets.toml");
        let mode = std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let signed = |secrets: &Secrets| Signer::new(&secrets.webhook_keys).sign("m", 1, b"{}");
        let kept = load(folder.path(), |_| None).expect("made");
        let (first, second) =
            (format!("whsec_{}", "A".repeat(32)), format!("whsec_{}", "B".repeat(32)));
        let environment =
            |name: &str| (name == WEBHOOK_SECRET).then(|| format!("{first}, {second}"));
        let given = load(folder.path(), environment).expect("read");
        let alone = Signer::new(&Keys::parse(&first).expect("right")).sign("m", 1, b"{}");
        assert!(given.jwt_secret == kept.jwt_secret && signed(&given) == alone);
        assert_eq!(signed(&kept), signed(&load(folder.path(), |_| None).expect("read")));
        assert_ne!(signed(&kept), alone);
    }

    #[test]
    fn a_weak_secret_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (name, value) in [
            ("SLUICE_JWT_SECRET", "short-canary"),
            ("SLUICE_ADMIN_TOKEN", "canary with spaces, long enough otherwise"),
            (WEBHOOK_SECRET, "whsec_canary"),
            (WEBHOOK_SECRET, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,whsec_canary"),
        ] {
            let given = |asked: &str| (asked == name).then(|| value.to_owned());
            let refused = Given::read(given).err().expect("refused").to_string();
            assert!(refused.contains(name) && !refused.contains("canary"), "{refused}");
        }
        std::fs::write(folder.path().join("secrets.toml"), "jwt_secret = \"canary\"")
            .expect("written");
        let refused = load(folder.path(), |_| None).err().expect("refused").to_string();
        assert!(!refused.contains("canary"), "{refused}");
    }
}
