//! What Redis says goes wrong, by who must act.

use redis::{ErrorKind, RedisError};

use super::super::error::{SinkError, Trouble};

/// Whether the functions are gone that the sink has loaded.
pub(super) fn lacks_function(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

/// An error of the client library or of the server.
///
/// Codes: <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>; the text
/// is the server's, which never repeats a password.
pub(super) fn from_redis(error: &RedisError) -> SinkError {
    let detail = error.detail().unwrap_or_default();
    let trouble = match error.kind() {
        ErrorKind::AuthenticationFailed => Trouble::Forbidden,
        ErrorKind::Io => Trouble::Unreachable,
        _ => by_code(error.code().unwrap_or_default(), detail),
    };
    SinkError::new(trouble, format!("Redis: {error}"))
}

fn by_code(code: &str, detail: &str) -> Trouble {
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Trouble::Forbidden,
        "OOM" => Trouble::Full,
        "READONLY" => Trouble::ReadOnly,
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "NOREPLICAS" | "MOVED" | "ASK" => {
            Trouble::Unreachable
        }
        "MISCONF" => Trouble::Disk,
        "BUSY" => Trouble::Locked,
        "WRONGTYPE" => Trouble::Poison,
        // `AUTH <password> called without any password configured`, and too many clients.
        "ERR" if detail.contains("AUTH") => Trouble::Forbidden,
        "ERR" if detail.contains("max number of clients") => Trouble::Unreachable,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble, from_redis};
    use redis::make_extension_error;

    #[test]
    fn the_servers_words_say_who_must_act() {
        for (code, trouble) in [
            ("NOAUTH", Trouble::Forbidden),
            ("WRONGPASS", Trouble::Forbidden),
            ("OOM", Trouble::Full),
            ("MISCONF", Trouble::Disk),
            ("BUSY", Trouble::Locked),
            ("WRONGTYPE", Trouble::Poison),
            ("NOREPLICAS", Trouble::Unreachable),
            ("SOMETHING", Trouble::Other),
        ] {
            let error = make_extension_error(code.to_owned(), Some("so it is".to_owned()));
            let error = from_redis(&error);
            assert_eq!(error.trouble, trouble, "{code}");
            assert!(error.what.contains("so it is"), "{error}");
        }
    }
}
