//! The harness finds what it promises to find.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use regulus_mutation::{CountingAllocator, Limits, Target};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn target(name: &str) -> Target {
    Target::new(name, vec![b"0123456789abcdef".to_vec()])
}

fn failure(target: &Target, reader: impl Fn(&[u8])) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| target.check(reader))).unwrap_err();
    payload.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_panic_is_found_and_its_input_saved() {
    let message = failure(&target("panics"), |input| assert_ne!(input.get(3), Some(&b'!')));
    let (start, path) = message.split_once("; the input is in ").unwrap();
    assert_eq!(start, "panics: the reader panicked");
    assert_eq!(std::fs::read(path).unwrap().get(3), Some(&b'!'));
}

#[test]
fn memory_beyond_the_limit_is_found() {
    let mut target = target("greedy");
    target.limits = Limits { per_byte: 64, fixed: 1000, ..Limits::default() };
    let report = target.run_all(&target.seeds, &|input| drop(black_box(vec![0u8; 64 * input.len() + 1000])));
    assert_eq!(report.peak, 64 * 16 + 1000);
    let message = failure(&target, |input| drop(black_box(vec![0u8; 64 * input.len() + 1001])));
    assert!(message.contains("bytes, more than"), "{message}");
}

#[test]
fn a_slow_input_is_found() {
    let mut target = target("slow");
    target.limits.deadline = Duration::ZERO;
    assert!(failure(&target, |_| ()).contains("took"));
}

/// Runs one of the ignored tests below in a process of its own, which must fail with this message.
fn ends_the_process(test: &str, message: &str) {
    let binary = std::env::current_exe().unwrap();
    let output = Command::new(binary).args([test, "--exact", "--ignored"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(message) && text.contains("the input is in"), "{text}");
}

#[test]
fn a_hang_is_found() {
    ends_the_process("hang", "hang: the reader still reads after its deadline");
}

#[test]
fn an_absurd_request_is_found() {
    ends_the_process("absurd", "absurd: the reader asked for 4611686018427387904 bytes more");
}

#[test]
#[ignore = "hangs; run by another test"]
fn hang() {
    let mut target = target("hang");
    target.limits.deadline = Duration::from_millis(100);
    target.check(|_| {
        loop {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
#[ignore = "asks for 4 EiB; run by another test"]
fn absurd() {
    target("absurd").check(|_| drop(black_box(Vec::<u8>::with_capacity(1 << 62))));
}
