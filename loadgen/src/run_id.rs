//! Names that set one run's buyers, keys and lots apart from those of every other run.

/// A number nobody drew before.
pub(crate) fn random() -> u64 {
    // Without the system's randomness two runs could share keys, and the audit would blame the server.
    getrandom::u64().expect("the system has randomness")
}

/// Eight letters and digits for a number.
pub(crate) fn name(random: u64) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..8)
        .map(|place| char::from(ALPHABET[(random >> (5 * place)) as usize % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_is_eight_letters_and_digits() {
        assert_eq!(name(0), "00000000");
        assert_eq!(name(u64::MAX), "zzzzzzzz");
        assert_eq!(name(33), "11000000");
    }
}
