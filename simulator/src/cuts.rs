//! What a shrunk run leaves out of its seed, and how that is written down.

use std::fmt;

use crate::profile::Fault;

/// Ticks and faults that are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// The last tick before the healing.
    pub ticks_max: u64,
    /// Faults that do not happen.
    pub off: Vec<Fault>,
    /// Ticks that do nothing, as ranges, both ends included.
    pub skip: Vec<(u64, u64)>,
}

impl Default for Cuts {
    fn default() -> Self {
        Self { ticks_max: u64::MAX, off: Vec::new(), skip: Vec::new() }
    }
}

impl Cuts {
    /// Whether the tick does nothing.
    pub fn leaves_out(&self, tick: u64) -> bool {
        self.skip.iter().any(|(from, to)| (*from..=*to).contains(&tick))
    }

    /// Whether the fault does not happen.
    pub fn is_off(&self, fault: Fault) -> bool {
        self.off.contains(&fault)
    }

    /// Reads what `Display` writes, behind a line `seed N`. Lines that begin with `#` are comments.
    ///
    /// # Errors
    /// The line that cannot be read.
    pub fn parse(text: &str) -> Result<(u64, Self), String> {
        let mut cuts = Self::default();
        let mut seed = None;
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || format!("a regression file has no line {line:?}");
            let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
            let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
            match word {
                "seed" => seed = Some(number(rest)?),
                "ticks" => cuts.ticks_max = number(rest)?,
                "off" => {
                    for name in rest.split(' ') {
                        let fault = Fault::ALL.iter().find(|(_, word)| *word == name);
                        cuts.off.push(fault.ok_or_else(wrong)?.0);
                    }
                }
                "skip" => {
                    for range in rest.split(' ') {
                        let (from, to) = range.split_once('-').ok_or_else(wrong)?;
                        cuts.skip.push((number(from)?, number(to)?));
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok((seed.ok_or("a regression file names its seed")?, cuts))
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ticks_max != u64::MAX {
            writeln!(f, "ticks {}", self.ticks_max)?;
        }
        if !self.off.is_empty() {
            let word = |fault: &Fault| Fault::ALL[*fault as usize].1;
            writeln!(f, "off {}", self.off.iter().map(word).collect::<Vec<_>>().join(" "))?;
        }
        if !self.skip.is_empty() {
            let ranges = self.skip.iter().map(|(from, to)| format!("{from}-{to}"));
            writeln!(f, "skip {}", ranges.collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cuts, Fault};

    #[test]
    fn cuts_are_read_as_they_are_written() {
        let cuts =
            Cuts { ticks_max: 90, off: vec![Fault::Rot, Fault::Clock], skip: vec![(1, 4), (9, 9)] };
        let text = format!("# why\nseed 7\n{cuts}");
        assert_eq!(Cuts::parse(&text), Ok((7, cuts)));
        assert!(Cuts::parse("seed 7\nof rot").is_err());
        assert!(Cuts::parse("ticks 7").is_err());
    }
}
