//! The recorded trajectories that come with the repository.

use crate::support::xtask;

#[test]
fn every_trajectory_in_the_repository_agrees() {
    let ended = xtask(&["verify", "crates/trainer/tests/golden", "--failures"]).with_code(0);
    for case in ["coop_middle_csc", "cocoop", "ivlp", "maple", "promptsrc", "proreg_xerm_official"] {
        assert!(ended.stdout.contains(&format!("{case}: PASS")), "{case} is not in: {}", ended.stdout);
    }
}
