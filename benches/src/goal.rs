//! What a run is held against: told at its end, after its figures were kept.

use anyhow::{Result, ensure};

/// Says whether `measured` is `goal` at least.
///
/// # Errors
/// If it is not.
pub fn at_least(what: &str, measured: f64, goal: f64) -> Result<()> {
    told(what, measured, ("at least", goal), measured >= goal)
}

/// Says whether `measured` is `goal` at most.
///
/// # Errors
/// If it is not.
pub fn at_most(what: &str, measured: f64, goal: f64) -> Result<()> {
    told(what, measured, ("at most", goal), measured <= goal)
}

fn told(what: &str, measured: f64, (bound, goal): (&str, f64), is_reached: bool) -> Result<()> {
    ensure!(is_reached, "{what}: {measured:.2}, the goal is {bound} {goal}: missed");
    println!("{what}: {measured:.2}, the goal is {bound} {goal}: reached");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{at_least, at_most};

    #[test]
    fn a_goal_is_reached_or_missed() {
        assert!(at_least("x", 0.7, 0.7).is_ok() && at_most("x", 1.1, 1.1).is_ok());
        let missed = at_least("x", 0.69, 0.7).expect_err("missed").to_string();
        assert_eq!(missed, "x: 0.69, the goal is at least 0.7: missed");
        assert!(at_most("x", 1.11, 1.1).is_err());
        assert!(at_least("x", f64::NAN, 0.7).is_err());
    }
}
