//! Faults that a sanitised build of this harness must find, so that one that finds nothing is known
//! to look. `.ci/run asan` and `.ci/run tsan` say by `ALLUVIUM_SANITIZER` which build it is; in
//! any other there is nothing to find a fault with.

#![allow(unsafe_code, reason = "faults that safe code cannot have")]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

/// A number without a lock, which two threads add to.
struct Racy(UnsafeCell<u64>);

// SAFETY: it is not; that is the fault.
unsafe impl Sync for Racy {}

fn race() {
    let racy = Racy(UnsafeCell::new(0));
    // Otherwise one may have ended before the other is spawned, which orders them.
    let both = Barrier::new(2);
    let add = || {
        both.wait();
        for _ in 0..1_000 {
            let racy = &racy;
            // SAFETY: none: the other thread does the same.
            unsafe { *racy.0.get() += 1 };
        }
    };
    thread::scope(|scope| {
        scope.spawn(add);
        scope.spawn(add);
    });
    println!("{}", racy.0.into_inner());
}

fn use_after_free() {
    let held = Box::new(7);
    // Hidden, or it is optimised away.
    let freed: *const u64 = black_box(&raw const *held);
    drop(held);
    // SAFETY: none: the box is gone.
    println!("{}", unsafe { freed.read_volatile() });
}

/// In a process of its own: the sanitizer ends it.
#[test]
fn a_planted_fault_is_found_by_the_sanitizer() {
    match std::env::var("ALLUVIUM_PLANTED").as_deref() {
        Ok("race") => return race(),
        Ok("use after free") => return use_after_free(),
        _ => {}
    }
    let sanitizer = std::env::var("ALLUVIUM_SANITIZER");
    let (fault, report) = match sanitizer.as_deref() {
        Ok("thread") => ("race", "ThreadSanitizer: data race"),
        Ok("address") => ("use after free", "AddressSanitizer: heap-use-after-free"),
        Ok(other) => panic!("no fault is known for the sanitizer {other}"),
        Err(_) => return,
    };
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "planted::a_planted_fault_is_found_by_the_sanitizer"])
        .env("ALLUVIUM_PLANTED", fault)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && told.contains(report), "not found: {fault}\n{told}");
    println!("planted fault found: {fault}");
}
