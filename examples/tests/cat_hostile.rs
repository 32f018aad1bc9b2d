//! A stranger on the network throws everything it has at a group: noise, what it has overheard, whole, cut and
//! falsified, and frames that it has made up. The group works on as if nothing was there.

mod processes;

use bytes::Bytes;
use gcs::{
    frame::{FIXED_HEADER, Frame, MAGIC_CONTROL, MAGIC_FRAME, WIRE_VERSION},
    id::GroupTag,
    rng::Rng,
    view::ViewId,
};
use processes::{Start, agree, free_addrs, three};
use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

/// How many rounds of datagrams the group has to bear.
const ROUNDS: usize = 20_000;
/// The largest datagram there is, over IPv4.
const LARGEST: usize = 65_507;

struct Stranger {
    /// One at an address that was a member's, one at any.
    sockets: [UdpSocket; 2],
    overheard: Vec<Vec<u8>>,
    group: GroupTag,
    view: ViewId,
    rng: Rng,
}

impl Stranger {
    /// Keeps what the sockets receive.
    fn listen(&mut self) {
        let mut b = vec![0; 1 << 16];
        for s in &self.sockets {
            while let (true, Ok(n)) = (self.overheard.len() < 1000, s.recv(&mut b)) {
                self.overheard.push(b[..n].to_vec());
            }
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.below(n as u64) as usize
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.next_u64() as u8).collect()
    }

    fn one_overheard(&mut self) -> Vec<u8> {
        let i = self.below(self.overheard.len());
        self.overheard[i].clone()
    }

    /// A frame as a member could have sent it in this view or the next or previous one, with nonsense in it.
    fn forged(&mut self) -> Bytes {
        let kinds = [Frame::DATA, 0, 1, 2, 3, 4, 5, 6, 9];
        let kind = kinds[self.below(kinds.len())];
        let from = self.below(5) as u16;
        let number = self.view.number + self.rng.below(3) - 1;
        let header = FIXED_HEADER + self.below(200);
        let view = ViewId { number, ..self.view };
        let mut frame = Frame::new(kind, self.rng.below(2) == 0, from, self.group, view, header, 0);
        let payload = self.below(200);
        let noise = self.noise(payload);
        frame.writable().extend_from_slice(&noise);
        let mut bytes = frame.into_packet().into_bytes().to_vec();
        // Mostly it says that its header is as long as those of the group.
        if let Some(heard) = self.overheard.iter().find(|b| b.len() > 8 && b[0] == MAGIC_FRAME)
            && !self.rng.below(4).is_multiple_of(4)
        {
            bytes[6..8].copy_from_slice(&heard[6..8]);
        }
        bytes.into()
    }

    fn datagram(&mut self, round: usize) -> Vec<u8> {
        if round.is_multiple_of(100) {
            let mut large = vec![0x41; LARGEST];
            let magic = if self.rng.below(2) == 0 { MAGIC_FRAME } else { MAGIC_CONTROL };
            large[..2].copy_from_slice(&[magic, WIRE_VERSION]);
            return large;
        }
        match self.rng.below(6) {
            0 => {
                let len = self.below(1400);
                self.noise(len)
            }
            1 => {
                let len = 2 + self.below(300);
                let mut noise = self.noise(len);
                noise[0] = if self.rng.below(2) == 0 { MAGIC_FRAME } else { MAGIC_CONTROL };
                noise[1] = WIRE_VERSION + (self.rng.below(8) == 0) as u8;
                noise
            }
            2 => self.one_overheard(),
            3 => {
                let mut cut = self.one_overheard();
                cut.truncate(self.below(cut.len() + 1));
                cut
            }
            4 => {
                let mut changed = self.one_overheard();
                for _ in 0..=self.below(3) {
                    if let Some(n) = changed.len().checked_sub(2).filter(|n| *n > 0) {
                        changed[2 + self.below(n)] ^= 1 << self.below(8);
                    }
                }
                changed
            }
            _ => self.forged().to_vec(),
        }
    }

    fn attack(&mut self, members: &[SocketAddr]) {
        for round in 1..=ROUNDS {
            for to in members {
                let datagram = self.datagram(round);
                let _ = self.sockets[round % 2].send_to(&datagram, to);
            }
            if round.is_multiple_of(100) {
                self.knock(members[round / 100 % members.len()]);
            }
            self.listen();
        }
    }

    /// Noise over TCP, where members watch each other.
    fn knock(&mut self, at: SocketAddr) {
        if let Ok(mut tcp) = TcpStream::connect_timeout(&at, Duration::from_secs(1)) {
            let len = self.below(100);
            let _ = tcp.write_all(&self.noise(len));
        }
    }
}

#[test]
fn a_stranger_does_no_harm() {
    let [was_member, anywhere, x, y, z, w] = free_addrs();
    let addrs = [x, y, z];
    let cats = three("hostile", &addrs);
    let loads = cats.each_ref().map(|cat| cat.load(&format!("{}-", cat.name)));
    // A member that dies: whoever gets its address next hears what is still sent there.
    let mut d = Start::new("hostile", "d", was_member).contacts(&addrs).spawn();
    d.wait_view(&["a", "b", "c", "d"]);
    d.wait_messages("a", 50);
    d.kill();
    let sockets = [was_member, anywhere].map(|a| UdpSocket::bind(a).unwrap());
    sockets.iter().for_each(|s| s.set_nonblocking(true).unwrap());
    let view = cats[0].wait_view(&["a", "b", "c"]);
    // A process that looks for the group at the stranger's address tells it how to knock.
    let seeker = Start::new("hostile", "e", w).contacts(&[anywhere]).spawn();
    let (epoch, number) = view.split_once('.').unwrap();
    let view = ViewId { epoch: u64::from_str_radix(epoch, 16).unwrap(), number: number.parse().unwrap() };
    let (group, rng) = (GroupTag::of("hostile"), Rng::new(7));
    let mut stranger = Stranger { sockets, overheard: Vec::new(), group, view, rng };
    stranger.sockets[1].set_nonblocking(false).unwrap();
    let mut join = vec![0; 1 << 16];
    let n = stranger.sockets[1].recv(&mut join).unwrap();
    stranger.sockets[1].set_nonblocking(true).unwrap();
    stranger.overheard.push(join[..n].to_vec());
    stranger.listen();
    drop(seeker);

    let before = cats.each_ref().map(processes::Cat::view_count);
    let thread = std::thread::spawn(move || {
        stranger.attack(&addrs);
        stranger.overheard.len()
    });
    // Messages are delivered while it goes on.
    let seen = cats.each_ref().map(|cat| cat.texts_from("a").len());
    for (cat, seen) in cats.iter().zip(seen) {
        cat.wait_messages("a", seen + 200);
    }
    let overheard = thread.join().unwrap();
    assert!(overheard > 0);
    let sent = loads.map(processes::Load::end);
    agree(&cats.each_ref(), &sent);
    assert_eq!(cats.each_ref().map(processes::Cat::view_count), before, "a view changed for nothing");
    for mut cat in cats {
        cat.leaves();
    }
}
