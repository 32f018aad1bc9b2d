//! Memory is allocated for frames and batches, never for messages: counted by the allocator.

#![expect(unsafe_code, reason = "a global allocator cannot be written without")]

use gcs_benches::engine::{Counts, Engine, Shape};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` is from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations per message and per datagram, from the cast to the delivery at all three members.
fn allocations(stack: &str, batch: usize) -> (f64, f64) {
    let shape = Shape { stack: stack.to_owned(), batch, ..Shape::default() };
    let mut engine = Engine::new(&shape).expect("a stack of the catalogue");
    engine.run(50_000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let Counts { cast, sent, .. } = engine.run(100_000);
    let count = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64;
    (count / cast as f64, count / sent as f64)
}

#[test]
fn a_message_costs_no_allocation() {
    for stack in ["fifo", "total", "total+uniform", "total-slots+uniform"] {
        let (message, datagram) = allocations(stack, 500);
        println!("{stack}: {message:.3} allocations per message, {datagram:.1} per datagram");
        assert!(message < 0.1, "{stack}: {message} allocations per message");
        assert!(datagram < 20.0, "{stack}: {datagram} allocations per datagram");
    }
}
