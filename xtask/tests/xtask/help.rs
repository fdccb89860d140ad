//! What the program says of itself.

use crate::support::xtask;

#[test]
fn help_lists_the_commands() {
    let help = xtask(&["help"]).with_code(0).stdout;
    for command in [
        "reproduce",
        "train",
        "predict",
        "eval",
        "export",
        "importance",
        "pretrain",
        "fetch",
        "data",
        "check",
    ] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(command)),
            "`{command}` is not in: {help}"
        );
    }
    assert!(!help.contains("run-experiment"), "the child process is not for people: {help}");
}
