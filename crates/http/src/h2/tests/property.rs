//! Two ends talk through a wire that cuts the bytes anywhere, and every message arrives as it was sent.

use super::*;

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }
}

/// A stream as one end sees it.
#[derive(Default)]
struct Talk {
    id: u32,
    /// What is to be sent, and whether trailers or END_STREAM come behind.
    unsent: Buffer,
    trailers: bool,
    send_done: bool,
    responded: bool,
    sent: usize,
    /// Bytes received, and of these not yet consumed.
    received: usize,
    held: usize,
    recv_done: bool,
    failed: bool,
}

struct End {
    side: Side,
    talks: Vec<Option<Talk>>,
    /// By id: bytes sent and received by this end, when the stream went.
    done: Vec<(u32, usize, usize, bool)>,
    begun: usize,
}

const STREAMS: usize = 60;

impl End {
    fn new(role: Role, dice: &mut Dice) -> Self {
        let (stream, connection) = (65_535 + dice.roll(50_000), 65_535 + dice.roll(100_000));
        let max_streams = 1 + dice.roll(12);
        let mut side = Side::new(role, |s| {
            s.initial_stream_window_size = stream as u32;
            s.initial_connection_window_size = connection as u32;
            s.max_concurrent_streams = max_streams as u32;
            s.hpack_table_size = [0, 100, 4096][stream % 3];
            // Windows as small as these need many updates for each frame.
            s.max_window_updates_per_data_frame = 1000;
            s.max_consecutive_empty_frames = 1000;
        });
        side.conn.start(&mut side.out);
        Self {
            side,
            talks: Vec::new(),
            done: Vec::new(),
            begun: 0,
        }
    }

    fn talk(&mut self, key: StreamKey) -> &mut Option<Talk> {
        if self.talks.len() <= key.index() {
            self.talks.resize_with(key.index() + 1, || None);
        }
        &mut self.talks[key.index()]
    }

    fn body(dice: &mut Dice) -> Buffer {
        let len = [0, dice.roll(100), dice.roll(40_000), dice.roll(300_000)][dice.roll(4)];
        let byte = dice.roll(256) as u8;
        Buffer::from(vec![byte; len])
    }

    fn receive(&mut self, dice: &mut Dice) {
        loop {
            let incoming = self.side.decode().unwrap_or_else(|error| panic!("{error}"));
            match incoming {
                None => return,
                Some(Incoming::Stream { key, event }) => self.event(key, event, dice),
                Some(Incoming::StreamFailed { error, .. }) => panic!("{error:?}"),
                Some(Incoming::GoAway { .. }) => panic!("nobody goes away"),
                Some(_) => {}
            }
        }
    }

    fn event(&mut self, key: StreamKey, event: Event, dice: &mut Dice) {
        let id = self.side.conn.stream_id(key);
        let data = self.side.scratch.data.split_to(usize::MAX);
        if let Event::Headers { .. } = event {
            let talk = self.talk(key).get_or_insert_with(|| Talk {
                id,
                unsent: Self::body(dice),
                trailers: dice.chance(3),
                ..Talk::default()
            });
            assert_eq!(talk.id, id);
            assert_eq!(self.side.header("x-id"), Some(id.to_string().as_str()));
        }
        let talk = self.talk(key).as_mut().expect("a stream that was begun");
        assert!(!talk.recv_done || matches!(event, Event::Reset { .. }));
        assert!(!talk.failed, "nothing follows a reset");
        talk.received += data.len();
        talk.held += data.len();
        match event {
            Event::Reset { .. } => talk.failed = true,
            Event::Informational => return,
            _ => {}
        }
        talk.recv_done = event.is_end();
        let held = talk.held;
        assert_eq!(self.side.conn.unconsumed(key), held);
    }

    /// Does one thing, if there is one to do.
    fn act(&mut self, dice: &mut Dice, client: bool) {
        if client && self.begun < STREAMS && dice.chance(2) {
            self.begin(dice);
        }
        if dice.chance(20) {
            self.side.conn.ping(7, &mut self.side.out);
        }
        while let Some(key) = self.side.conn.next_writable() {
            self.send(key, dice);
        }
        if self.talks.is_empty() {
            return;
        }
        let key = StreamKey(dice.roll(self.talks.len()) as u32);
        let conn = &mut self.side.conn;
        let Some(talk) = &mut self.talks[key.index()] else {
            return;
        };
        let n = dice.roll(talk.held + 1);
        talk.held -= n;
        conn.consumed(key, n, &mut self.side.out);
        if talk.failed || (talk.send_done && talk.recv_done) || dice.chance(200) {
            let whole = !talk.failed && talk.send_done && talk.recv_done;
            self.done.push((talk.id, talk.sent, talk.received, whole));
            self.talks[key.index()] = None;
            conn.release(key, &mut self.side.out);
            return;
        }
        self.send(key, dice);
    }

    fn begin(&mut self, dice: &mut Dice) {
        let Some(key) = self.side.conn.open() else {
            return;
        };
        let id = 1 + 2 * self.begun as u32;
        self.begun += 1;
        let mut headers = HeaderMap::from_iter(GET.iter().copied());
        headers.append("x-id", id.to_string().as_bytes());
        if dice.chance(5) {
            let long: Vec<u8> = (0..20_000).map(|_| b'!' + dice.roll(90) as u8).collect();
            headers.append("x-long", &long);
        }
        let mut talk = Talk {
            id,
            responded: true,
            unsent: Self::body(dice),
            trailers: dice.chance(3),
            ..Talk::default()
        };
        talk.send_done = dice.chance(3);
        if talk.send_done {
            talk.unsent.clear();
        }
        let end = talk.send_done;
        *self.talk(key) = Some(talk);
        self.side
            .conn
            .send_headers(key, &headers, end, &mut self.side.out);
        assert_eq!(self.side.conn.stream_id(key), id);
    }

    fn send(&mut self, key: StreamKey, dice: &mut Dice) {
        let (conn, out) = (&mut self.side.conn, &mut self.side.out);
        let Some(Some(talk)) = self.talks.get_mut(key.index()) else {
            return;
        };
        if talk.failed || talk.send_done {
            return;
        }
        if !talk.responded {
            if dice.chance(4) {
                let early = HeaderMap::from_iter([(":status", "103")]);
                conn.send_informational(key, &early, out);
            }
            let mut headers = HeaderMap::from_iter([(":status", "200")]);
            headers.append("x-id", talk.id.to_string().as_bytes());
            conn.send_headers(key, &headers, false, out);
            talk.responded = true;
        }
        let capacity = conn.capacity(key);
        let budget = 1 + dice.roll(50_000);
        let moved = conn.send_data(key, &mut talk.unsent, !talk.trailers, budget, out);
        assert!(moved <= capacity.min(budget));
        assert_eq!(
            conn.capacity(key),
            if conn_ended(talk) {
                0
            } else {
                capacity - moved
            }
        );
        talk.sent += moved;
        if talk.unsent.is_empty() {
            if talk.trailers {
                let trailers = HeaderMap::from_iter([("x-end", "1")]);
                conn.send_trailers(key, &trailers, out);
            }
            talk.send_done = true;
        }
    }

    fn is_finished(&self) -> bool {
        self.talks.iter().all(Option::is_none)
    }
}

fn conn_ended(talk: &Talk) -> bool {
    talk.unsent.is_empty() && !talk.trailers
}

/// Moves a piece of any length over the wire.
fn carry(from: &mut End, to: &mut End, dice: &mut Dice) {
    let n = 1 + [10, 1000, 100_000][dice.roll(3)];
    let n = dice.roll(n);
    from.side.out.split_to(n).move_to(&mut to.side.input, n);
    let waiting = from.side.out.len();
    from.side.conn.flushed(waiting);
    from.side.conn.check().unwrap();
    to.receive(dice);
}

fn converse(seed: u64) {
    let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut client = End::new(Role::Client, dice);
    let mut server = End::new(Role::Server, dice);
    for round in 0.. {
        assert!(round < 200_000, "no end in sight (seed {seed})");
        carry(&mut client, &mut server, dice);
        carry(&mut server, &mut client, dice);
        client.act(dice, true);
        server.act(dice, false);
        let idle = client.side.out.is_empty() && server.side.out.is_empty();
        if idle && client.begun == STREAMS && client.is_finished() && server.is_finished() {
            break;
        }
    }
    assert_eq!(
        client.side.conn.stream_count() + server.side.conn.stream_count(),
        0
    );
    let mut whole = 0;
    for &(id, sent, received, complete) in &client.done {
        let there = server.done.iter().find(|done| done.0 == id);
        let Some(&(_, there_sent, there_received, there_complete)) = there else {
            assert!(!complete);
            continue;
        };
        assert!(there_received <= sent && received <= there_sent);
        if complete && there_complete {
            assert_eq!(
                (sent, received),
                (there_received, there_sent),
                "stream {id}"
            );
            whole += 1;
        }
    }
    assert!(whole > STREAMS / 10, "{whole}");
}

#[test]
fn s5_2_any_interleaving_keeps_the_windows_and_the_messages() {
    for seed in 1..=24 {
        converse(seed);
    }
}

/// No bytes make the codec panic, run in circles, or take more memory than its limits.
#[test]
fn s10_5_noise() {
    for seed in 1..=400_u64 {
        let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut side = if seed % 2 == 0 {
            Side::server()
        } else {
            Side::client()
        };
        if seed % 2 == 1 {
            side.request(false);
            side.request(true);
        }
        for _ in 0..200 {
            let mut payload: Vec<u8> = match dice.roll(4) {
                0 => fields(GET),
                1 => fields(&[(":status", "200")]),
                _ => (0..dice.roll(20)).map(|_| dice.roll(256) as u8).collect(),
            };
            if dice.chance(5) && !payload.is_empty() {
                let at = dice.roll(payload.len());
                payload[at] = dice.roll(256) as u8;
            }
            let kind = dice.roll(11) as u8;
            let flags = [0, 1, 4, 5, dice.roll(256) as u8][dice.roll(5)];
            let bytes = frame(kind, flags, dice.roll(9) as u32, &payload);
            for piece in bytes.chunks(1 + dice.roll(30)) {
                side.feed(piece);
                if let Some(key) = side.conn.begin_request(&side.input)
                    && dice.chance(3)
                {
                    side.conn.release(key, &mut side.out);
                }
            }
            if side.decode().is_err() {
                break;
            }
            if dice.chance(3) {
                let key = StreamKey(dice.roll(4) as u32);
                side.conn.release(key, &mut side.out);
            }
            side.conn.flushed(0);
        }
    }
}
