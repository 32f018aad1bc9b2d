use super::*;
use crate::{heartbeat::Heartbeat, pack::Pack, reliable::Reliable, testkit::scope};
use bytes::Bytes;
use gcs::{
    guard::Keys,
    message::Outgoing,
    rng::Rng,
    sim::certified,
    stack::{Blueprint, Output, Stack},
};

const NOW: Time = Time::from_ms(1001);
const TEXT: &[u8] = b"what only its maker may say";

/// Stands for what encrypts, so that the tests can say what they like.
struct Veil;

impl Protocol for Veil {
    fn spec(&self) -> LayerSpec {
        let gives = Properties::ENCRYPTED;
        LayerSpec { name: "veil", version: 1, needs: Properties::NONE, gives, wants: Wants::CONTROL }
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        struct Nothing;
        impl Layer for Nothing {}
        Box::new(Nothing)
    }
}

fn blueprint() -> Blueprint {
    let layers: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(Veil),
        Arc::new(Sign),
        Arc::new(Heartbeat),
        Arc::new(Reliable { prompt: false }),
        Arc::new(crate::flow::Flow::default()),
        Arc::new(Pack),
    ];
    Blueprint::new("signed", layers).unwrap()
}

/// Three members' stacks, and what they have sent at the start.
struct Three {
    stacks: Vec<Stack>,
    hellos: Vec<Vec<Bytes>>,
}

impl Three {
    fn new() -> Self {
        Self::with_certificates_for("m")
    }

    /// Their certificates are for this letter and a number; the members' names are m0 to m2.
    fn with_certificates_for(letter: &str) -> Self {
        let keys = certified((0..3).map(|i| format!("{letter}{i}")));
        let build = |(me, keys): (usize, &Arc<dyn Keys>)| {
            blueprint().build(Scope { signer: keys.signer(), ..scope(me, 3) })
        };
        let mut three = Self { stacks: keys.iter().enumerate().map(build).collect(), hellos: Vec::new() };
        three.hellos = (0..3).map(|m| three.work(m, |s, out| s.start(NOW, out)).0).collect();
        three
    }

    /// The same, and they know each other.
    fn known() -> Self {
        let mut three = Self::new();
        for m in 0..3 {
            for to in (0..3).filter(|to| *to != m) {
                let hello = three.hellos[m].clone();
                three.hand(to, m, &hello);
            }
        }
        three
    }

    /// What a member's stack sends and delivers.
    fn work(&mut self, m: usize, f: impl FnOnce(&mut Stack, &mut Output)) -> (Vec<Bytes>, Vec<Vec<u8>>) {
        let mut out = Output::default();
        f(&mut self.stacks[m], &mut out);
        self.stacks[m].check();
        let messages = out.events.iter().filter_map(|e| match e {
            Up::Messages(m) => Some(m.iter().map(|m| m.to_vec()).collect::<Vec<_>>()),
            _ => None,
        });
        (out.frames.into_iter().map(|f| f.into_packet().into_bytes()).collect(), messages.flatten().collect())
    }

    fn cast(&mut self, m: usize) -> Vec<Bytes> {
        let mut messages = Outgoing::new();
        messages.push(TEXT);
        self.work(m, |s, out| s.down(NOW, Down::Cast(messages), out)).0
    }

    /// What a member says to, and delivers of, datagrams that come from `via`.
    fn hand(&mut self, to: usize, via: usize, datagrams: &[Bytes]) -> (Vec<Bytes>, Vec<Vec<u8>>) {
        self.work(to, |stack, out| {
            for datagram in datagrams {
                let Ok(mut frame) = stack.parse(datagram.clone()) else { continue };
                frame.via = via as Rank;
                stack.receive(NOW, vec![frame], out);
            }
        })
    }

    fn delivered(&mut self, to: usize, via: usize, datagrams: &[Bytes]) -> Vec<Vec<u8>> {
        self.hand(to, via, datagrams).1
    }

    fn says(&self, m: usize, what: &str) -> String {
        let mut report = Report::default();
        self.stacks[m].report(&mut report);
        let text = report.to_string();
        text.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("no {what}: {text}")).to_owned()
    }
}

/// Where the layer's part of the header is.
fn slot() -> Range<usize> {
    FIXED_HEADER..FIXED_HEADER + COUNTER + SIGNATURE
}

#[test]
fn what_its_maker_has_signed_counts_whoever_brings_it() {
    let mut three = Three::known();
    let sent = three.cast(0);
    assert_eq!(three.delivered(1, 0, &sent), [TEXT]);
    assert_eq!(three.delivered(2, 1, &sent), [TEXT], "m1 repairs what m2 has lost");
    assert!(three.delivered(1, 0, &sent).is_empty());
    assert!(three.says(1, "frames repeated").ends_with(" 1"), "{}", three.says(1, "frames repeated"));
}

#[test]
fn no_member_speaks_for_another_one() {
    let mut three = Three::known();
    let genuine = three.cast(0);
    // m1 has what m0 said, changes a word of it, and says that this is what m0 said.
    let mut forged = genuine[0].to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(three.delivered(2, 1, &[forged.into()]).is_empty());
    assert!(three.says(2, "frames refused").ends_with(" 1"), "{}", three.says(2, "frames refused"));
    // m1 signs a frame itself, and says that it is m0's.
    let mut forged = three.cast(1)[0].to_vec();
    forged[4..6].copy_from_slice(&0_u16.to_le_bytes());
    let forged = Bytes::from(forged);
    assert!(three.delivered(2, 1, std::slice::from_ref(&forged)).is_empty());
    assert!(three.delivered(2, 0, &[forged]).is_empty(), "from m0's address, even");
    // A sign of life of m0, which m1 has kept.
    let (beats, _) = three.work(0, |s, out| s.tick(NOW + Duration::from_millis(200), out));
    let before = three.says(2, "frames refused");
    three.hand(2, 1, &beats);
    assert_ne!(three.says(2, "frames refused"), before, "only m0 itself brings signs of its life");
    assert_eq!(three.delivered(2, 0, &genuine), [TEXT], "the real one was kept out by none of these");
}

#[test]
fn a_certificate_that_got_lost_is_asked_for() {
    let mut three = Three::new();
    let sent = three.cast(0);
    let (asked, delivered) = three.hand(1, 0, &sent);
    assert!(delivered.is_empty() && asked.len() == 1, "m1 does not know m0: {asked:?}");
    assert!(three.hand(1, 0, &sent).0.is_empty(), "it asks once for a while");
    let (told, _) = three.hand(0, 1, &asked);
    assert_eq!(told.len(), 1);
    three.hand(1, 0, &told);
    assert_eq!(three.delivered(1, 0, &sent), [TEXT]);
}

#[test]
fn the_certificate_of_who_is_gone_comes_from_others() {
    let mut three = Three::new();
    let (hello, sent) = (three.hellos[0].clone(), three.cast(0));
    three.hand(1, 0, &hello);
    assert_eq!(three.delivered(1, 0, &sent), [TEXT]);
    // m1 repairs what m2 lacks, which knows neither of them.
    let (asked, _) = three.hand(2, 1, &sent);
    let (told, _) = three.hand(1, 2, &asked);
    three.hand(2, 1, &told);
    assert_eq!(three.delivered(2, 1, &sent), [TEXT]);
}

#[test]
fn nobody_is_taken_for_somebody_else() {
    // m1 shows m0's certificate with a signature of its own, and its own as m0's; m0 shows one that is for another name.
    let mut three = Three::new();
    let hello = three.hellos[0][0].clone();
    let mut own = three.hellos[1][0].to_vec();
    own[4..6].copy_from_slice(&0_u16.to_le_bytes());
    let mut borrowed = hello.to_vec();
    borrowed[slot()].fill(7);
    let strangers = Three::with_certificates_for("x");
    for (via, wrong) in [(0, own.into()), (0, borrowed.into()), (0, strangers.hellos[0][0].clone())] {
        three.hand(2, via, &[wrong]);
        assert!(three.says(2, "certificate is missing").ends_with(" 2"), "nobody is known yet");
    }
    let hello = three.hellos[0].clone();
    three.hand(2, 0, &hello);
    assert!(three.says(2, "certificate is missing").ends_with(" 1"), "m0 is");
    // Nobody's key is replaced.
    let again = strangers.hellos[0].clone();
    three.hand(2, 0, &again);
    let sent = three.cast(0);
    assert_eq!(three.delivered(2, 0, &sent), [TEXT]);
}

#[test]
fn no_damage_gets_through_and_nothing_panics() {
    let mut three = Three::known();
    let sent = three.cast(0);
    let mut rng = Rng::new(3);
    for datagram in sent.iter().chain(&three.hellos[0].clone()) {
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            for via in [0, 2] {
                assert!(three.delivered(1, via, &[damaged.clone().into()]).is_empty(), "bit {bit}");
            }
        }
        for _ in 0..300 {
            let cut = rng.below(datagram.len() as u64) as usize;
            assert!(three.delivered(1, 0, &[datagram.slice(..cut)]).is_empty(), "cut to {cut}");
        }
    }
    assert_eq!(three.delivered(1, 0, &sent), [TEXT], "none of it was taken for the real one");
}
