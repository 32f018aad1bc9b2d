use gcs::{endpoint::*, id::*, message::Outgoing, time::Time};
use std::{collections::*, net::SocketAddr, time::Duration};

fn addr(i: usize) -> SocketAddr { ([127, 0, 0, 1], 7000 + i as u16).into() }

#[test]
fn smoke() {
    for stack in ["fifo", "total", "total+uniform+check"] {
    let mk = |i: usize, boot: Bootstrap, inc: u64| {
        let mut c = Config::new("g", &format!("p{i}"), gcs_stacks::named(stack).unwrap());
        c.contacts = (0..3).map(addr).collect();
        c.bootstrap = boot;
        Endpoint::new(c, MemberId { addr: addr(i), incarnation: Incarnation(inc) }, 1400, i as u64 + inc).unwrap()
    };
    let mut eps: Vec<_> = (0..3).map(|i| Some(mk(i, Bootstrap::Expect(3), 1))).collect();
    let mut q: BTreeMap<(Time, u64), (usize, Datagram)> = BTreeMap::new();
    let mut n = 0;
    let mut now = Time::from_ms(1);
    let mut fx = Effects::default();
    let mut starts = vec![true; 3];
    let mut log = vec![0usize; 3];
    let mut sent = 0;
    let mut steps = 0u64;
    while now < Time::from_ms(6000) {
        for i in 0..3 {
            let Some(e) = eps[i].as_mut() else { continue };
            let mut inputs = vec![];
            if std::mem::take(&mut starts[i]) { inputs.push(Input::Start { wall_ns: now.0 }); }
            let due: Vec<_> = q.iter().take_while(|((t, _), _)| *t <= now).filter(|(_, (to, _))| *to == i).map(|(k, _)| *k).collect();
            let ds: Vec<_> = due.iter().map(|k| q.remove(k).unwrap().1).collect();
            if !ds.is_empty() { inputs.push(Input::Datagrams(ds)); }
            if e.deadline() <= now { inputs.push(Input::Tick); }
            if e.view().is_some() && sent < 2000 && n % 3 == 0 { let mut o = Outgoing::new(); o.push(format!("m{sent}").as_bytes()); sent += 1; inputs.push(Input::Cast(o)); }
            for input in inputs {
                steps += 1;
                e.handle(now, input, &mut fx);
                e.check();
                for t in fx.transmits.drain(..) { for to in t.to { n += 1; let k = usize::from(to.port()) - 7000; q.insert((now + Duration::from_micros(100 + n % 50), n), (k, Datagram { from: addr(i), payload: t.payload.clone() })); } }
                for ev in fx.events.drain(..) { match ev { Event::Messages(m) => { log[i] += m.count as usize; } Event::Lease(_) | Event::Watch(..) => {}, ev => println!("{now} p{i} {ev:?}") } }
            }
        }
        if now == Time::from_ms(2000) { println!("kill p0"); eps[0] = None; q.retain(|_, (to, _)| *to != 0); }
        if now == Time::from_ms(4000) { eps[0] = Some(mk(0, Bootstrap::Expect(3), 2)); starts[0] = true; }
        now = now + Duration::from_micros(100);
    }
    println!("{stack}: delivered {log:?} of {sent}, {n} datagrams {steps} steps");
    assert_eq!(eps[1].as_ref().unwrap().view().unwrap().len(), 3);
    assert_eq!(log[1], log[2]);
    }
}
