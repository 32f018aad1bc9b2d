//! Subscriptions that are signed elsewhere: what an agent takes from whoever has the key.

use std::net::SocketAddr;

use gcs_monitor::{
    daemon::lease::{AskError, LEASE_MAX_S, Lease},
    trust::Refusal,
    zones::{
        function::Said,
        kind::{Delivery, Kind, Standing, Trigger},
    },
};

use super::fleet::{NOW, alice, verifier, zone};

fn at(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

fn lease(seconds: u64) -> Lease {
    let standing =
        Standing { to: at(4804), trigger: Trigger::Edge, delivery: Delivery::AtLeastOnce, every_ms: 500 };
    let (sql, by) = ("SELECT pid FROM processes".to_owned(), alice("subscribe"));
    Lease::new(&zone("/eu"), standing, sql, (NOW, seconds), Some(&by)).unwrap()
}

fn parts(lease: &Lease) -> (Said, Said) {
    (lease.function().said().clone(), lease.removal().said().clone())
}

#[test]
fn a_lease_and_its_removal_are_signed_and_each_is_newer_than_the_one_before() {
    let (by, first) = (alice("subscribe"), lease(60));
    // Renewed in the same second, and later.
    let second = first.renewed(&zone("/eu"), at(4804), (NOW, 60), Some(&by)).unwrap();
    let third = second.renewed(&zone("/eu"), at(4804), (NOW + 20, 60), Some(&by)).unwrap();
    let all = [&first, &second, &third];
    let of = all.iter().flat_map(|lease| [lease.function(), lease.removal()]);
    let issued: Vec<u64> = of.clone().map(|function| function.said().issued_s).collect();
    assert!(issued.windows(2).all(|pair| pair[0] < pair[1]), "{issued:?}");
    for function in of {
        assert_eq!(verifier().function(NOW + 20, function.said()), Ok(zone("/eu")));
    }
    for lease in all {
        let (function, removal) = parts(lease);
        assert!(removal.text.is_empty() && removal.expires_s >= function.expires_s, "it does not come back");
    }
    assert_eq!(third.function().said().expires_s, NOW + 80);
    // Nothing counts longer than who has signed it, and she may no longer.
    assert!(third.renewed(&zone("/eu"), at(4804), (NOW + 10 * 86_400, 60), Some(&by)).is_err());
    assert!(third.renewed(&zone("/eu"), at(4804), (NOW + 40, 60), Some(&alice("install"))).is_err());
    assert!(third.renewed(&zone("/"), at(4804), (NOW + 40, 60), Some(&by)).is_err());
}

#[test]
fn an_agent_takes_what_is_for_it_and_nothing_else() {
    let (function, removal) = parts(&lease(60));
    let (of, taken) = Lease::handed(function.clone(), removal.clone(), at(4804)).unwrap();
    assert_eq!((of, parts(&taken)), (zone("/eu"), (function.clone(), removal.clone())));
    let error = Lease::handed(function.clone(), removal.clone(), at(4805)).unwrap_err();
    assert!(matches!(&error, AskError::Refused(Refusal::OtherContact { .. })), "{error}");
    assert!(error.to_string().contains("10.0.0.1:4804") && error.to_string().contains("10.0.0.1:4805"));
    let (long, its) = parts(&lease(LEASE_MAX_S + 1));
    assert!(matches!(Lease::handed(long, its, at(4804)), Err(AskError::Long(3601))));
    let (_, other) = parts(&lease(60));
    let announcement = Said { kind: Kind::Announcement, ..function.clone() };
    for (function, removal) in [
        (removal.clone(), function.clone()),
        (function.clone(), function.clone()),
        // Of another one; older; that ends before; of another kind.
        (function.clone(), other),
        (function.clone(), Said { issued_s: NOW, ..removal.clone() }),
        (function.clone(), Said { expires_s: NOW + 59, ..removal.clone() }),
        (announcement, removal.clone()),
    ] {
        assert!(matches!(Lease::handed(function, removal, at(4804)), Err(AskError::NoLease)));
    }
    let unsigned = Said { seal: Vec::new(), ..function };
    assert!(matches!(Lease::handed(unsigned, removal, at(4804)), Err(AskError::Refused(Refusal::Malformed))));
}
