//! Messages that no agent would send: nothing panics, nothing grows without bounds, others are not drowned in answers.

use std::{net::SocketAddr, sync::Arc};

use gcs::time::Time;
use gcs_monitor::{
    row::Row,
    value::Value,
    zones::{
        agent::{Agent, Config, Sends},
        function::Function,
        message::{Body, Item, Message},
        table::{CHILDREN_MAX, Generator, Issue, Stamp},
    },
};
use proptest::{collection::vec, prelude::*};

fn stamp() -> impl Strategy<Value = Stamp> {
    let version = prop_oneof![0..5_u64, Just(u64::MAX), any::<u64>()];
    (version, any::<u64>())
        .prop_map(|(version, generator)| Stamp { version, generator: Generator(generator) })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::float),
        Just(Value::list(["10.0.0.9:1".into(), "nonsense".into(), Value::Int(1)])),
        Just(Value::list(["10.0.0.1:1".into()])),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let child = prop_oneof![Just("host".to_owned()), "[a-z]{0,3}", "[a-c]"];
    let name = prop_oneof![Just("contacts"), Just("nmembers"), Just("burden"), Just("id"), Just("depth")];
    let row = vec((name, value()), 0..4).prop_map(Row::new);
    (child, stamp(), row, any::<bool>()).prop_map(|(child, stamp, row, gone)| {
        let child: Arc<str> = child.into();
        if gone && stamp.version % 3 == 0 {
            let function = Function::open("f", "SELECT COUNT(*) AS n", stamp.version % 9, 20);
            Item::Function(Arc::new(function.expect("it is right")))
        } else if gone {
            Item::Gone(child, stamp, None)
        } else {
            Item::Issue(child, Arc::new(Issue::new(stamp, row)))
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let zone = prop_oneof![
        Just("/"),
        Just("/eu"),
        Just("/eu/ams"),
        Just("/eu/ams/host"),
        Just("/us"),
        Just("/eu/ams/host/x")
    ];
    let whom = any::<[u8; 4]>().prop_map(|ip| SocketAddr::from((ip, 1)));
    let body = prop_oneof![
        vec((0..5_u8, item()), 0..6).prop_map(Body::News),
        vec(any::<u64>(), 0..20).prop_map(Body::Compare),
        vec(any::<u32>(), 0..300).prop_map(Body::Marks),
        (vec(item(), 0..6), vec(any::<u32>(), 0..300)).prop_map(|(items, marks)| Body::Rows(items, marks)),
        any::<u32>().prop_map(Body::Ping),
        (0..20_u32).prop_map(Body::Pong),
        whom.clone().prop_map(Body::Busy),
        (any::<u32>(), whom).prop_map(|(number, whom)| Body::PingFor(number, whom)),
        (0..20_u32).prop_map(Body::Silent),
        any::<u32>().prop_map(Body::Ask),
        (0..4_u32, any::<u32>(), any::<i64>(), vec(item(), 0..6))
            .prop_map(|(number, of, expected, items)| Body::Part(number, (of, expected), items)),
        (0..4_u32, vec(any::<[u8; 4]>(), 0..9)).prop_map(|(number, whom)| {
            Body::Nearer(number, whom.into_iter().map(|ip| SocketAddr::from((ip, 1))).collect())
        }),
    ];
    (zone, body).prop_map(|(zone, body)| Message { zone: zone.parse().expect("a zone"), body })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn no_message_harms_an_agent(messages in vec((message(), 0..50_u64), 0..300)) {
        let config = Arc::new(Config::default());
        let (own, other) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1)));
        let mut agent = Agent::new(config.clone(), "/eu/ams/host".parse().expect("a name"), own, vec![other], 1);
        let (mut now, mut bytes) = (Time::ZERO, 0);
        for (message, ms) in messages {
            now = now + std::time::Duration::from_millis(ms);
            let _ = agent.look_up(now, &"/us/x".parse().expect("a zone"));
            agent.found();
            let mut sends = Sends::new();
            agent.receive(now, other, message, &mut sends);
            if agent.next_timer() <= now {
                agent.tick(now, &mut sends);
            }
            agent.check();
            bytes += sends.iter().map(|(_, message)| message.bytes() as u64).sum::<u64>();
        }
        prop_assert!((0..agent.levels()).all(|level| agent.table(level).is_some_and(|t| t.slots().len() <= CHILDREN_MAX)));
        // Besides what the buckets allow there are answers to pings, and pings.
        let allowed = config.burst + 2 * config.exchange_burst + 300 * 1000 + now.0 / 1_000_000 * 20;
        prop_assert!(bytes <= allowed, "{} of {}", bytes, allowed);
        // It is still there, and says so.
        for _ in 0..100 {
            now = agent.next_timer().max(now);
            agent.tick(now, &mut Sends::new());
        }
        agent.check();
    }
}
