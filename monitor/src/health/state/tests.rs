//! Commands, and the verdicts that come of them.

use super::*;
use crate::health::{command::Observation, verdict::Finding};

fn register(state: &mut State, component: &str, instance: &str, supervisor: Option<&str>) {
    let registration = Registration {
        component: component.parse().unwrap(),
        instance: instance.parse().unwrap(),
        address: None,
        supervisor: supervisor.map(|s| s.parse().unwrap()),
        witnesses: 2,
    };
    state.apply(Command::Register(registration), 7).unwrap();
}

fn observation(instance: &str, observer: &str, finding: Finding) -> Observation {
    Observation {
        component: "shop".parse().unwrap(),
        instance: instance.parse().unwrap(),
        observer: observer.parse().unwrap(),
        serial: 1,
        finding,
        certain: false,
        evidence: "seen".into(),
    }
}

fn observe(state: &mut State, observer: &str, finding: Finding) {
    state.apply(Command::Observe(observation("a", observer, finding)), 8).unwrap();
}

fn tick(state: &mut State, ms: u64) {
    let mut left = ms;
    while left > 0 {
        let step = left.min(limits::TICK_MAX_MS);
        let at_ms = state.tick_ms + step;
        state.apply(Command::Tick { at_ms }, 9).unwrap();
        left -= step;
    }
}

fn shop(state: &State) -> &Component {
    state.component(&"shop".parse().unwrap()).unwrap()
}

/// All verdicts so far, as text.
fn told(state: &State) -> Vec<String> {
    shop(state).history().map(|v| format!("{} {} {} {}", v.seq, v.instance, v.health, v.cause)).collect()
}

#[test]
fn two_of_three_decide_and_one_does_not() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    for observer in ["x", "y", "z"] {
        observe(&mut state, observer, Finding::Up);
    }
    observe(&mut state, "x", Finding::Down);
    assert_eq!(told(&state), ["1 a unknown registered", "2 a up agreed"]);
    observe(&mut state, "y", Finding::Down);
    assert_eq!(told(&state)[2..], ["3 a down agreed"]);
    let last = shop(&state).history().last().unwrap();
    let witnesses: Vec<_> = last.witnesses.iter().map(|w| (w.observer.as_str(), w.finding)).collect();
    assert_eq!(witnesses, [("x", Finding::Down), ("y", Finding::Down), ("z", Finding::Up)]);
    observe(&mut state, "x", Finding::Sluggish);
    assert_eq!(told(&state)[3..], ["4 a up agreed"], "it answers");
}

#[test]
fn its_supervisor_is_believed_and_nobody_else() {
    let mut state = State::new();
    register(&mut state, "shop", "a", Some("init"));
    for observer in ["init", "x", "y"] {
        observe(&mut state, observer, Finding::Up);
    }
    let certain = |observer| Observation { certain: true, ..observation("a", observer, Finding::Down) };
    state.apply(Command::Observe(certain("x")), 0).unwrap();
    assert_eq!(shop(&state).seq(), 2, "x is not the supervisor");
    observe(&mut state, "x", Finding::Up);
    state.apply(Command::Observe(certain("init")), 0).unwrap();
    assert_eq!(told(&state)[2..], ["3 a down certain"]);
    observe(&mut state, "init", Finding::Up);
    assert_eq!(told(&state)[3..], ["4 a up agreed"]);
}

#[test]
fn what_was_overtaken_does_not_count() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    let at = |serial, finding| Command::Observe(Observation { serial, ..observation("a", "x", finding) });
    state.apply(at(5, Finding::Down), 0).unwrap();
    assert!(matches!(state.apply(at(4, Finding::Up), 0), Err(Refusal::Overtaken(_))));
    assert_eq!(told(&state)[1..], ["2 a down agreed"]);
    let before = state.clone();
    state.apply(at(5, Finding::Down), 0).unwrap();
    assert_eq!(state, before, "said twice");
}

#[test]
fn opinions_get_old_and_what_is_down_stays_down() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    observe(&mut state, "x", Finding::Up);
    tick(&mut state, limits::OPINION_MS / 2);
    observe(&mut state, "y", Finding::Down);
    assert_eq!(shop(&state).seq(), 2, "they disagree");
    tick(&mut state, limits::OPINION_MS / 2);
    assert_eq!(told(&state)[2..], ["3 a down agreed"], "x has not looked for long");
    tick(&mut state, limits::OPINION_MS);
    assert_eq!(shop(&state).seq(), 3);
    observe(&mut state, "x", Finding::Up);
    tick(&mut state, limits::OPINION_MS);
    assert_eq!(told(&state)[3..], ["4 a up agreed", "5 a unknown silent"]);
}

#[test]
fn who_flaps_is_held_down_and_released() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    for _ in 0..4 {
        observe(&mut state, "x", Finding::Up);
        observe(&mut state, "x", Finding::Down);
    }
    assert_eq!(shop(&state).seq(), 9);
    observe(&mut state, "x", Finding::Up);
    assert_eq!(shop(&state).seq(), 9);
    assert!(shop(&state).opinions().next().unwrap().held);
    for _ in 0..20 {
        tick(&mut state, limits::OPINION_MS / 2);
        observe(&mut state, "x", Finding::Up);
    }
    assert_eq!(told(&state)[9..], ["10 a up released"]);
}

#[test]
fn clocks_that_leap_let_no_lease_end() {
    let mut state = State::new();
    let who: Who = "me".parse().unwrap();
    let component: Label = "shop".parse().unwrap();
    let interest = Command::Interest { who: who.clone(), component: component.clone(), lease_ms: 10_000 };
    state.apply(interest.clone(), 0).unwrap();
    for at_ms in [1 << 60, 5, u64::MAX, 0] {
        state.apply(Command::Tick { at_ms }, 0).unwrap();
    }
    assert!(state.has_interest(&who, &component));
    tick(&mut state, 6_000);
    assert!(!state.has_interest(&who, &component) && state.interests() == 0);
    assert!(state.apply(Command::Renew { who, lease_ms: 1 }, 0).is_err());
}

#[test]
fn numbers_go_on_when_a_component_comes_back() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    let forget = Command::Forget { component: "shop".parse().unwrap() };
    assert!(matches!(state.apply(forget.clone(), 0), Err(Refusal::NotEmpty(_))));
    let gone = Command::Deregister { component: "shop".parse().unwrap(), instance: "a".parse().unwrap() };
    state.apply(gone, 0).unwrap();
    assert_eq!(told(&state), ["1 a unknown registered", "2 a gone deregistered"]);
    state.apply(forget, 0).unwrap();
    register(&mut state, "shop", "a", None);
    assert_eq!(told(&state), ["3 a unknown registered"]);
    assert_eq!(state.instances, 1);
}

#[test]
fn everything_is_bounded() {
    let mut state = State::new();
    register(&mut state, "shop", "a", None);
    for n in 0..200u64 {
        let finding = if n % 2 == 0 { Finding::Up } else { Finding::Down };
        observe(&mut state, "x", finding);
        tick(&mut state, 300_000);
    }
    assert_eq!(shop(&state).history().len(), limits::VERDICTS);
    let refused = |state: &mut State, make: &dyn Fn(usize) -> Command, most: usize| {
        let outcomes: Vec<_> = (0..=most).map(|n| state.apply(make(n), 0)).collect();
        outcomes[..most - 1].iter().all(Result::is_ok) && outcomes[most].is_err()
    };
    let observer = |n| Command::Observe(observation("a", &format!("o{n}"), Finding::Up));
    assert!(refused(&mut state, &observer, limits::OBSERVERS));
    let interest = |n| Command::Interest {
        who: "me".parse().unwrap(),
        component: format!("c{n}").parse().unwrap(),
        lease_ms: 0,
    };
    assert!(refused(&mut state, &interest, limits::INTERESTS_EACH));
    let instance = |component: &str, n: usize| {
        Command::Register(Registration {
            component: component.parse().unwrap(),
            instance: format!("i{n}").parse().unwrap(),
            address: None,
            supervisor: None,
            witnesses: 2,
        })
    };
    assert!(refused(&mut state, &|n| instance("shop", n), limits::INSTANCES));
    assert!(refused(&mut state, &|n| instance(&format!("c{n}"), 0), limits::COMPONENTS));
    for component in 0..limits::COMPONENTS {
        for n in 0..limits::INSTANCES {
            let _ = state.apply(instance(&format!("c{component}"), n), 0);
        }
    }
    assert_eq!(state.instances, limits::INSTANCES_ALL);
    assert_eq!(state.components().map(|(_, c)| c.len()).sum::<usize>(), limits::INSTANCES_ALL);
}
