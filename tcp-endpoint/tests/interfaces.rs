//! Links at real interfaces, with a kernel at their other end. Needs root, iproute2 and iputils-ping: skipped
//! without, but not where `CI=true`.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod hosts;

use gcs::time::Time;
use gcs_tcp_endpoint::{
    link::{Config, Link, Mac, MacChoice, Outputs, Vip},
    net::{AfPacket, Error, Interface, Options, Tap, Tun, mac_of},
};
use hosts::{Hosts, Replica, until};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

const V4: &str = "10.77.0.100";
const V6: &str = "fd77::100";

fn vips() -> Vec<Vip> {
    [format!("{V4}/24"), format!("{V6}/64")].iter().map(|v| v.parse().unwrap()).collect()
}

fn on_ethernet(hosts: &Hosts, host: &str, choice: MacChoice) -> Replica {
    hosts.replica(host, move || {
        let config = Config::ethernet(mac_of("eth0").unwrap(), choice, vips());
        (AfPacket::open("eth0", &config, Options::default()).unwrap(), config)
    })
}

fn answers(hosts: &Hosts) {
    for vip in [V4, V6] {
        assert!(hosts.ping(vip, 10.0), "{vip} does not answer");
        assert!(hosts.ping_with(vip, 1452), "{vip} does not answer large requests");
    }
}

#[test]
fn a_kernel_pings_the_address_on_an_ethernet() {
    let Some(hosts) = Hosts::new() else { return };
    let replica = on_ethernet(&hosts, "h0", MacChoice::Own);
    replica.set_active(true);
    answers(&hosts);
    let seen = replica.seen();
    assert!(seen.counters.echoes >= 8 && seen.counters.answers >= 2, "{seen:?}");
}

#[test]
fn a_kernel_pings_the_address_behind_a_tap() {
    let Some(hosts) = Hosts::new() else { return };
    let replica = hosts.replica("c", || {
        let tap = Tap::open("tap0", 1500, true).unwrap();
        let vips = ["10.78.0.100/24", "fd78::100/64"].map(|v| v.parse().unwrap());
        let config = Config::ethernet(tap.mac().unwrap(), MacChoice::Own, vips.to_vec());
        (tap, config)
    });
    hosts.on("c", "addr add 10.78.0.1/24 dev tap0");
    hosts.on("c", "addr add fd78::1/64 dev tap0 nodad");
    replica.set_active(true);
    assert!(hosts.ping("10.78.0.100", 10.0) && hosts.ping("fd78::100", 10.0), "{:?}", replica.seen());
}

#[test]
fn a_kernel_pings_the_address_behind_a_tun() {
    let Some(hosts) = Hosts::new() else { return };
    let replica = hosts.replica("c", || {
        let vips = ["10.79.0.100/32", "fd79::100/128"].map(|v| v.parse().unwrap());
        (Tun::open("tun0", 1500, true).unwrap(), Config::ip(vips.to_vec()))
    });
    hosts.on("c", "route add 10.79.0.100/32 dev tun0");
    hosts.on("c", "route add fd79::100/128 dev tun0");
    replica.set_active(true);
    assert!(hosts.ping("10.79.0.100", 10.0) && hosts.ping("fd79::100", 10.0), "{:?}", replica.seen());
}

#[test]
fn who_is_not_active_is_silent() {
    let Some(hosts) = Hosts::new() else { return };
    let replica = on_ethernet(&hosts, "h0", MacChoice::Own);
    assert!(!hosts.ping(V4, 0.2) && !hosts.ping(V6, 0.2), "somebody answers");
    until("it learns who asks", || replica.seen().neighbours == 2);
    assert_eq!(replica.seen().traffic.sent, 0, "it says something");
}

/// The client pings an address of a replica at h0, then of one at h1, which takes it.
fn takeover(choice: MacChoice) -> Option<()> {
    let hosts = Hosts::new()?;
    let [old, new] = ["h0", "h1"].map(|host| on_ethernet(&hosts, host, choice));
    let macs = ["h0", "h1"].map(|host| match choice {
        MacChoice::Own => hosts.enter(host, || mac_of("eth0").unwrap()),
        MacChoice::Virtual(_) => Mac::virtual_for(V4.parse().unwrap()),
        MacChoice::Mirror => Mac::mirror_for(V4.parse().unwrap()),
    });
    for (leader, follower, mac) in [(&old, &new, macs[0]), (&new, &old, macs[1])] {
        follower.set_active(false);
        leader.set_active(true);
        for vip in [V4, V6] {
            if hosts.knows(vip) {
                // It learns by the announcement alone.
                until("the client knows the MAC", || hosts.neighbour(vip).contains(&mac.to_string()));
            }
            assert!(hosts.ping(vip, 10.0), "{vip} does not answer");
            assert!(hosts.neighbour(vip).contains(&mac.to_string()), "{}", hosts.neighbour(vip));
        }
        let seen = leader.seen();
        assert!(seen.counters.echoes >= 2, "{seen:?}");
        assert_eq!(follower.seen().counters.conflicts, 0);
    }
    assert_eq!(new.seen().counters.conflicts, 0);
    Some(())
}

#[test]
fn a_takeover_moves_the_address_to_another_mac() {
    takeover(MacChoice::Own);
}

#[test]
fn a_takeover_moves_a_virtual_mac() {
    takeover(MacChoice::Virtual(None));
}

#[test]
fn a_takeover_of_a_mirrored_address() {
    takeover(MacChoice::Mirror);
}

#[test]
fn off_the_link_the_gateway_is_the_next_hop() {
    let Some(hosts) = Hosts::new() else { return };
    let far = [("10.99.0.1", V4), ("fd99::1", V6)];
    for (address, _) in far {
        hosts.on("c", &format!("addr add {address} dev lo"));
    }
    let replica = hosts.replica("h0", || {
        let mut config = Config::ethernet(mac_of("eth0").unwrap(), MacChoice::Own, vips());
        config.gateway_v4 = Some("10.77.0.1".parse().unwrap());
        config.gateway_v6 = Some("fd77::1".parse().unwrap());
        (AfPacket::open("eth0", &config, Options::default()).unwrap(), config)
    });
    replica.set_active(true);
    until("the gateways answer", || replica.seen().neighbours == 2);
    for (address, vip) in far {
        assert!(hosts.ping(&format!("-I {address} {vip}"), 10.0), "{:?}", replica.seen());
    }
    assert_eq!(replica.seen().neighbours, 2, "of whom there are more");
}

#[test]
fn switches_that_snoop_know_where_the_address_is_asked_for() {
    let Some(hosts) = Hosts::new() else { return };
    let replica = on_ethernet(&hosts, "h0", MacChoice::Own);
    let group = "port p-h0 grp ff02::1:ff00:100";
    assert!(!hosts.groups().contains(group));
    replica.set_active(true);
    until("the switch knows the group", || hosts.groups().contains(group));
}

#[test]
fn errors_say_what_to_do() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.on("h0", "link set eth0 down");
    let open = |host, name: &'static str| {
        hosts.enter(host, move || {
            let config = Config::ip(vips());
            AfPacket::open(name, &config, Options::default()).err().unwrap().to_string()
        })
    };
    assert!(open("h0", "eth0").contains("`ip link set eth0 up`"));
    assert!(open("h0", "eth7").contains("no network interface `eth7`"));
    assert!(open("h0", "a-name-that-is-too-long-for-one").contains("no network interface"));
    assert!(open("h1", "lo").contains("not an Ethernet"));
    for (vip, nodad) in [(V4, ""), (V6, "nodad")] {
        hosts.on("h1", &format!("addr add {vip} dev eth0 {nodad}"));
        assert!(open("h1", "eth0").contains(&format!("this host has the address {vip} itself")));
        hosts.on("h1", "addr flush dev eth0");
    }
    hosts.enter("h1", || {
        let nothing = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, nothing).unwrap();
        let raw = AfPacket::open("eth0", &Config::ip(vips()), Options::default()).err();
        assert!(raw.unwrap().to_string().contains("CAP_NET_RAW"));
        assert!(Tun::open("tun0", 1500, true).err().unwrap().to_string().contains("CAP_NET_ADMIN"));
    });
    hosts.enter("h1", || {
        let _tap = Tap::open("tap0", 1500, true).unwrap();
        for again in [Tun::open("tap0", 1500, true).err(), Tap::open("tap0", 1500, true).err()] {
            assert!(again.unwrap().to_string().contains("belongs to another process or is of another kind"));
        }
    });
}

#[test]
fn an_interface_that_goes_down_is_an_error_and_works_again_when_it_is_up() {
    let Some(hosts) = Hosts::new() else { return };
    let mut nic = hosts.enter("h0", || {
        let config = Config::ethernet(mac_of("eth0").unwrap(), MacChoice::Own, vips());
        AfPacket::open("eth0", &config, Options::default()).unwrap()
    });
    hosts.on("h0", "link set eth0 down");
    let mut received = Vec::new();
    until("it says that it is down", || matches!(nic.recv(&mut received), Err(Error::Down { .. })));
    hosts.on("h0", "link set eth0 up");
    until("it hears a question again", || {
        hosts.ping(V4, 0.05);
        nic.recv(&mut received).is_ok() && !received.is_empty()
    });
}

/// Sends what is to be said first where it may not be.
fn is_fenced(nic: &mut dyn Interface, config: Config) {
    let mut out = Outputs::default();
    Link::new(config).unwrap().set_active(Time::ZERO, true, &mut out);
    let frames = out.frames.len() as u64;
    assert!(frames > 0, "it announces its addresses");
    nic.send(&mut out.frames, &|| false).unwrap();
    let seen = nic.traffic();
    assert_eq!((seen.sent, seen.fenced, out.frames.len()), (0, frames, 0), "{seen:?}");
}

/// As a leader whose lease ends while it sends.
#[test]
fn what_may_not_be_sent_any_more_is_not() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.enter("h0", || {
        let config = Config::ethernet(mac_of("eth0").unwrap(), MacChoice::Own, vips());
        is_fenced(&mut AfPacket::open("eth0", &config, Options::default()).unwrap(), config);
        let mut tap = Tap::open("tap0", 1500, true).unwrap();
        let config = Config::ethernet(tap.mac().unwrap(), MacChoice::Own, vips());
        is_fenced(&mut tap, config);
    });
}
