//! The simulator's own application: it keeps the whole log of what it delivered, and a small map; clients at every
//! process cast messages of all sizes, some of them operations on the map.

use super::{
    app::{App, AppContext},
    envelope::MessageId,
    kv::Op,
};
use crate::{
    blocks::Snapshot,
    id::{MemberId, fnv1a},
    view::ViewChange,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// Registers of the map.
const KEYS: usize = 6;
/// Log entries in one snapshot chunk.
const CHUNK_ENTRIES: usize = 200;
/// At most so many operations of one client wait for their answers.
const OPEN_OPS: usize = 2;

/// What the workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadOptions {
    /// Each process casts about so many messages a second; 0 for none.
    pub casts_per_second: u64,
    /// So many of a thousand messages are larger than a frame.
    pub large_per_mille: u64,
    /// The largest message, in bytes.
    pub largest: usize,
    /// So many of a thousand messages are cast though the group is not writable.
    pub pushy_per_mille: u64,
    /// Whether the group promises one order: then the state depends on the order, and clients use the map.
    pub ordered: bool,
    /// Whether joiners receive the state.
    pub state_transfer: bool,
    /// Whether clients read what their own replica has at the moment, without asking the group. Wrong: for tests of
    /// oracle A3.
    pub local_reads: bool,
}

impl Default for WorkloadOptions {
    fn default() -> Self {
        Self {
            casts_per_second: 60,
            large_per_mille: 30,
            largest: 12_000,
            pushy_per_mille: 100,
            ordered: true,
            state_transfer: true,
            local_reads: false,
        }
    }
}

/// The application, in one life of one process.
#[derive(Debug)]
pub struct Workload {
    options: WorkloadOptions,
    /// Whether it has the group's state.
    complete: bool,
    log: Vec<u64>,
    digest: u64,
    registers: [u64; KEYS],
    /// Operations of this process's client that are not answered.
    open: usize,
    open_ids: [u64; OPEN_OPS],
}

impl Workload {
    /// A workload that has not started.
    #[must_use]
    pub fn new(options: WorkloadOptions) -> Self {
        Self {
            options,
            complete: false,
            log: Vec::new(),
            digest: 0,
            registers: [0; KEYS],
            open: 0,
            open_ids: [0; OPEN_OPS],
        }
    }

    /// How many messages are in the log.
    #[must_use]
    pub fn log_len(&self) -> usize {
        self.log.len()
    }

    fn next_cast(&self, cx: &mut AppContext<'_>) {
        if let Some(mean) = 1_000_000_u64.checked_div(self.options.casts_per_second) {
            let delay = mean / 4 + cx.rng.below(mean * 3 / 2);
            cx.wake_after(Duration::from_micros(delay.max(1)));
        }
    }

    fn append(&mut self, entry: u64) {
        self.log.push(entry);
        self.digest = if self.options.ordered {
            fnv1a(self.digest ^ 0x51, &entry.to_le_bytes())
        } else {
            self.digest.wrapping_add(fnv1a(0x51, &entry.to_le_bytes()))
        };
    }

    fn random_op(cx: &mut AppContext<'_>) -> Op {
        let key = u8::try_from(cx.rng.below(KEYS as u64)).unwrap_or(0);
        let value = cx.rng.below(4) + 1;
        match cx.rng.below(3) {
            0 => Op::Read { key },
            1 => Op::Write { key, value: cx.rng.below(1 << 20) << 3 | value },
            _ => Op::Swap { key, expected: cx.rng.below(5), new: value },
        }
    }

    fn cast_one(&mut self, cx: &mut AppContext<'_>) {
        let op =
            (self.options.ordered && self.open < OPEN_OPS && cx.rng.chance(350)).then(|| Self::random_op(cx));
        let len = if cx.rng.chance(self.options.large_per_mille) {
            cx.rng.below(self.options.largest as u64)
        } else {
            cx.rng.below(160)
        };
        let mut payload = op.map_or_else(|| vec![0; 18], |op| op.encode().to_vec());
        let filler = u8::try_from(cx.rng.below(256)).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(0);
        payload.extend((0..len).map(|i| filler.wrapping_add((i & 0xff) as u8)));
        let Some(id) = cx.cast(&payload) else { return };
        if let Some(op) = op {
            cx.invoked(id, op);
            self.open_ids[self.open] = id.0;
            self.open += 1;
            if let (Op::Read { key }, true) = (op, self.options.local_reads) {
                self.answer(id, self.registers[usize::from(key)], cx);
            }
        }
    }

    /// The operation was delivered here: if it is this process's own, its client is answered.
    fn answer(&mut self, id: MessageId, value: u64, cx: &mut AppContext<'_>) {
        if let Some(at) = self.open_ids[..self.open].iter().position(|o| *o == id.0) {
            self.open -= 1;
            self.open_ids[at] = self.open_ids[self.open];
            cx.returned(id, value);
        }
    }
}

impl App for Workload {
    fn started(&mut self, cx: &mut AppContext<'_>) {
        self.next_cast(cx);
    }

    fn view(&mut self, change: &ViewChange, cx: &mut AppContext<'_>) {
        let _ = cx;
        if change.awaits_state {
            // A client whose operation was under way when its process was excluded never learns its fate.
            self.complete = false;
            self.open = 0;
        } else {
            self.complete = true;
        }
    }

    fn message(&mut self, from: MemberId, id: MessageId, payload: &[u8], cx: &mut AppContext<'_>) {
        let _ = from;
        self.append(id.0);
        if !self.options.ordered {
            return;
        }
        let Some(op) = Op::decode(payload) else { return };
        let Some(register) = self.registers.get_mut(usize::from(op.key())) else { return };
        let before = *register;
        *register = op.apply(before);
        self.answer(id, before, cx);
    }

    fn wake(&mut self, cx: &mut AppContext<'_>) {
        if !cx.quiet && (cx.writable || (cx.view.is_some() && cx.rng.chance(self.options.pushy_per_mille))) {
            let burst = if cx.rng.chance(50) { 1 + cx.rng.below(20) } else { 1 };
            for _ in 0..burst {
                self.cast_one(cx);
            }
        }
        self.next_cast(cx);
    }

    fn snapshot(&mut self) -> Arc<dyn Snapshot> {
        let mut log: Arc<[u64]> = self.log.as_slice().into();
        if !self.options.ordered {
            // Without a total order the state is a set: the chunks must be the same at all donors.
            Arc::make_mut(&mut log).sort_unstable();
        }
        Arc::new(Frozen { log, registers: self.registers })
    }

    fn restore(&mut self, index: u64, last: bool, chunk: &[u8], cx: &mut AppContext<'_>) {
        let _ = cx;
        let words = chunk.chunks_exact(8).map(|w| {
            let mut word = [0; 8];
            word.copy_from_slice(w);
            u64::from_le_bytes(word)
        });
        if index == 0 {
            self.log.clear();
            self.digest = 0;
            self.registers = [0; KEYS];
            self.registers.iter_mut().zip(words).for_each(|(r, w)| *r = w);
        } else {
            words.for_each(|w| self.append(w));
        }
        self.complete = last;
    }

    fn digest(&self) -> Option<u64> {
        let all = self.registers.iter().fold(self.digest, |d, r| fnv1a(d, &r.to_le_bytes()));
        (self.options.state_transfer && self.complete).then_some(all)
    }
}

/// The state at one point: chunk 0 has the registers, the others the log.
struct Frozen {
    log: Arc<[u64]>,
    registers: [u64; KEYS],
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        1 + self.log.len().div_ceil(CHUNK_ENTRIES) as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        let words: &[u64] = match usize::try_from(index).unwrap_or(usize::MAX).checked_sub(1) {
            None => &self.registers,
            Some(i) => self.log.chunks(CHUNK_ENTRIES).nth(i).unwrap_or(&[]),
        };
        words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>().into()
    }
}
