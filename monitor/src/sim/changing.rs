//! [`Changing`]: all agents change an attribute all the time; what does that cost, and how old is what is seen at the top?

use std::time::Duration;

use gcs::rng::Rng;

use super::World;
use crate::value::Value;

/// What [`Changing::FUNCTIONS`] sums, and what every agent changes.
const LOAD: &str = "load";
/// One agent in each zone at the top also says when it changed last, in milliseconds.
const TRACED: &str = "traced";
/// Between two steps of the run, and between two looks.
const STEP: Duration = Duration::from_millis(20);
const LOOK: u64 = 50;
/// At how many agents it is looked, each time.
const LOOKS: usize = 20;

/// A run in which every agent changes an attribute each so often, each at another time.
#[derive(Debug)]
pub struct Changing {
    rng: Rng,
    period: Duration,
    /// All agents, in the order in which they change.
    order: Vec<usize>,
    next: usize,
    /// By zone at the top: one agent of it.
    traced: Vec<usize>,
}

/// What was seen in such a run.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// Bytes a second that each agent sent that speaks for no zone, in order.
    pub ordinary: Vec<u64>,
    /// And those that do.
    pub speakers: Vec<u64>,
    /// How long ago an agent had set what others see of it in the row of its zone at the top, in milliseconds, in order.
    pub ages: Vec<u64>,
}

impl Changing {
    /// The functions that a [`super::Plan`] needs for it.
    pub const FUNCTIONS: [(&'static str, &'static str); 2] =
        [(LOAD, "SELECT SUM(load) AS load"), (TRACED, "SELECT MAX(traced) AS traced")];

    /// Every agent of the world changes once in a period, one after the other in a random order.
    #[must_use]
    pub fn new(world: &World, period: Duration, seed: u64) -> Self {
        let (mut rng, count, zones) = (Rng::new(seed), world.traffic().len(), world.agents().branching);
        let each = count / zones;
        let traced = (0..zones).map(|zone| zone * each + draw(&mut rng, each)).collect();
        let mut order: Vec<usize> = (0..count).collect();
        (1..count).rev().for_each(|left| order.swap(left, draw(&mut rng, left + 1)));
        Self { rng, period, order, next: 0, traced }
    }

    /// Lets them change for so long, and looks at what comes of it.
    pub fn run(&mut self, world: &mut World, time: Duration) -> Changed {
        let before: Vec<u64> = world.traffic().iter().map(|traffic| traffic.bytes).collect();
        let (count, mut ages) = (before.len(), Vec::new());
        let steps = u64::try_from(time.as_millis() / STEP.as_millis()).unwrap_or(u64::MAX);
        let each = count as f64 * STEP.as_secs_f64() / self.period.as_secs_f64();
        let mut due = 0.0;
        for step in 1..=steps {
            due += each;
            while due >= 1.0 {
                due -= 1.0;
                self.change(world, self.order[self.next]);
                self.next = (self.next + 1) % count;
            }
            world.run(STEP);
            if step % LOOK == 0 {
                let at: Vec<usize> = (0..LOOKS).map(|_| draw(&mut self.rng, count)).collect();
                ages.extend(at.into_iter().flat_map(|of| self.look(world, of)));
            }
        }
        let mut changed = Changed { ages, ..Changed::default() };
        let seconds = time.as_secs().max(1);
        for (of, before) in before.into_iter().enumerate() {
            let rate = (world.traffic()[of].bytes - before) / seconds;
            if world.speaks(of) { &mut changed.speakers } else { &mut changed.ordinary }.push(rate);
        }
        for numbers in [&mut changed.ages, &mut changed.ordinary, &mut changed.speakers] {
            numbers.sort_unstable();
        }
        changed
    }

    fn change(&mut self, world: &mut World, of: usize) {
        let load = i64::try_from(self.rng.below(1000)).unwrap_or(0);
        world.set(of, LOAD, Value::Int(load));
        if self.traced.contains(&of) {
            let now = i64::try_from(world.now_ms()).unwrap_or(i64::MAX);
            world.set(of, TRACED, Value::Int(now));
        }
    }

    /// The ages of what an agent sees of those that are traced.
    fn look(&self, world: &World, of: usize) -> Vec<u64> {
        let Some(root) = world.agent(of).table(0) else { return Vec::new() };
        let seen = root.issues().filter_map(|(_, issue)| issue.row.get(TRACED).as_int());
        seen.map(|at| world.now_ms().saturating_sub(at.unsigned_abs())).collect()
    }
}

fn draw(rng: &mut Rng, among: usize) -> usize {
    usize::try_from(rng.below(among as u64)).unwrap_or(0)
}
