//! The real server on a virtual clock on which its work takes time: how voice fares beside a crowd,
//! and after a stall.

use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::wire::{ServerPacket, SetMuted, parse};

use super::*;

const SAMPLES: usize = 320;
const FRAME: Duration = Duration::from_millis(20);

/// A server with all its tasks except the one for pages.
struct Bench {
    server: Rc<Server>,
    address: SocketAddr,
}

impl Bench {
    async fn new(prices: Prices) -> Self {
        let server = Rc::new(Server::new(&config(), Ticker::default()));
        server.trial.prices.set(prices);
        let listener = crate::net::bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(Rc::clone(&server).drive());
        tokio::task::spawn_local(Rc::clone(&server).send_rest());
        tokio::task::spawn_local(Rc::clone(&server).accept(listener));
        Self { server, address }
    }

    async fn join(&self, room: &str, name: &str) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client {
            stream,
            deframer: Deframer::new(),
            spoken: 0,
        };
        client.send(&hello_of(room, name));
        client.read().await;
        client
    }

    fn now(&self) -> Instant {
        self.server.ticker.now()
    }

    fn concealed(&self) -> u64 {
        self.server.hub.borrow().frame_counters().concealed
    }

    /// Returns how much a tick was late at most, relative to ticks one frame period apart.
    fn latest_tick(&self) -> Duration {
        let ticks = self.server.trial.ticks.borrow();
        let first = ticks[0];
        let due = |n: usize| first + FRAME.saturating_mul(n as u64);
        let late = ticks
            .iter()
            .enumerate()
            .map(|(n, at)| at.duration_since(due(n)));
        late.max().unwrap()
    }
}

struct Client {
    stream: TcpStream,
    deframer: Deframer,
    spoken: u16,
}

impl Client {
    fn send(&self, bytes: &[u8]) {
        assert_eq!(self.stream.try_write(bytes).unwrap(), bytes.len());
    }

    /// Sends a frame that differs from all others.
    fn speak(&mut self, terminator: bool) -> Vec<u8> {
        self.spoken += 1;
        let number = self.spoken;
        let payload: Vec<u8> = (0..SAMPLES as u16)
            .flat_map(|n| (1_000 + n + 7 * number).to_le_bytes())
            .collect();
        self.send(&packet(&ClientPacket::Voice(Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator,
            payload: &payload,
        })));
        payload
    }

    /// Waits for input and returns the voice in it.
    async fn read(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = [0; READ_BYTES];
        self.stream.readable().await.unwrap();
        let count = self.stream.try_read(&mut bytes).unwrap_or(0);
        let (mut rest, mut voices) = (&bytes[..count], Vec::new());
        while !rest.is_empty() {
            let (feed, left) = self.deframer.feed(rest);
            rest = left;
            if let Feed::Packet(packet) = feed
                && let Ok(ServerPacket::Voice(voice)) = parse::<ServerPacket<'_>>(packet)
            {
                voices.push(voice.payload.to_vec());
            }
        }
        voices
    }
}

/// Runs a test with as many descriptors as the crowd needs.
async fn alone<T>(trial: impl Future<Output = T>) -> T {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    LocalSet::new().run_until(trial).await
}

#[tokio::test(start_paused = true)]
async fn voice_that_arrives_during_a_stall_is_not_late() {
    for stall_ms in [10, 25, 45, 85] {
        alone(async {
            let bench = Bench::new(Prices::default()).await;
            let mut talkers = Vec::new();
            for name in ["ada", "bob", "eve", "joe"] {
                talkers.push(bench.join("kitchen", name).await);
            }
            let mut listener = bench.join("kitchen", "lis").await;
            // All say the same, so that their mean is what each of them says.
            let say = |talkers: &mut Vec<Client>, last| -> Vec<u8> {
                let said = talkers.iter_mut().map(|talker| talker.speak(last));
                said.last().unwrap()
            };
            let mut said = vec![say(&mut talkers, false)];
            while bench.server.hub.borrow().counters().packets_in < 5 + 4 {
                tokio::task::yield_now().await;
            }
            // The thread is away while the frames for the next ticks arrive.
            let more = stall_ms / 20 + 1;
            said.extend((0..more).map(|n| say(&mut talkers, n + 1 == more)));
            advance(stall_ms * 1_000);
            let mut heard = Vec::new();
            while heard.len() < said.len() {
                heard.extend(listener.read().await);
            }
            let differing = (0..said.len()).find(|&n| heard.get(n) != said.get(n));
            assert_eq!(differing, None, "{stall_ms} ms: first differing frame");
            assert_eq!(bench.concealed(), 0, "{stall_ms} ms");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_sends_at_once_delays_no_tick() {
    const CROWD: usize = 300;
    alone(async {
        let bench = Bench::new(Prices::default()).await;
        let mut ada = bench.join("kitchen", "ada").await;
        let _bob = bench.join("kitchen", "bob").await;
        let mut crowd = Vec::new();
        for n in 0..CROWD {
            crowd.push(
                bench
                    .join(&format!("hall {}", n / 60), &format!("p{n}"))
                    .await,
            );
        }
        // Reading all of them takes 30 ms.
        bench.server.trial.prices.set(Prices {
            read: 100,
            write: 8,
            tick: 50,
        });
        let ping = packet(&ClientPacket::Ping(1));
        for frame in 0..50 {
            ada.speak(frame == 49);
            if frame % 5 == 1 {
                crowd.iter().for_each(|client| client.send(&ping));
            }
            tokio::time::sleep(FRAME.into()).await;
        }
        let latest = bench.latest_tick();
        assert!(latest <= Duration::from_millis(2), "{latest:?}");
    })
    .await;
}

/// Mutes and unmutes everyone 12 times a second, each at a different phase.
async fn flap(server: Rc<Server>, crowd: Vec<Client>) {
    const BATCH: Duration = Duration::from_millis(5);
    let mut next = 0;
    let mut due = server.ticker.now();
    loop {
        let batch = crowd.len() * 12 * BATCH.as_millis() as usize / 1_000;
        for n in next..next + batch {
            let muted = (n / crowd.len()).is_multiple_of(2);
            let change = packet(&ClientPacket::SetMuted(SetMuted { muted, after: None }));
            crowd[n % crowd.len()].send(&change);
        }
        next += batch;
        due += BATCH;
        tokio::time::sleep(due.duration_since(server.ticker.now()).into()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_crowd_that_keeps_muting_every_frame_is_on_time_and_newcomers_get_in() {
    const CROWD: usize = 960;
    alone(async {
        let bench = Bench::new(Prices {
            read: 4,
            write: 8,
            tick: 50,
        })
        .await;
        // Neighbours are in different rooms, so that all rooms have changes at the same time.
        let mut crowd = Vec::new();
        for n in 0..CROWD {
            crowd.push(
                bench
                    .join(&format!("hall {}", n % 15), &format!("p{n}"))
                    .await,
            );
        }
        let flapping = tokio::task::spawn_local(flap(Rc::clone(&bench.server), crowd));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut talks = JoinSet::new();
        for phase in 0..8 {
            // If some phase is bad, one of them has it.
            tokio::time::sleep(std::time::Duration::from_micros(22_500)).await;
            let room = format!("kitchen {phase}");
            let (ada, bob) = (
                bench.join(&room, "ada").await,
                bench.join(&room, "bob").await,
            );
            talks.spawn_local(talk(Rc::clone(&bench.server), ada, bob));
        }
        for n in 0..10 {
            let before = bench.now();
            bench.join("hall", &format!("n{n}")).await;
            let waited = bench.now().duration_since(before);
            assert!(waited <= Duration::from_millis(200), "{waited:?}");
            tokio::time::sleep(std::time::Duration::from_millis(77)).await;
        }
        talks.join_all().await;
        assert_eq!(bench.concealed(), 0);
        flapping.abort();
    })
    .await;
}

/// One client talks for 3 s, and another hears every frame, bit for bit and on time.
async fn talk(server: Rc<Server>, mut talker: Client, mut listener: Client) {
    const FRAMES: usize = 150;
    let ticker = Rc::clone(&server);
    let hearing = tokio::task::spawn_local(async move {
        let mut heard = Vec::new();
        while heard.len() < FRAMES {
            let voices = listener.read().await;
            heard.extend(voices.into_iter().map(|voice| (voice, ticker.ticker.now())));
        }
        heard
    });
    let mut said = Vec::new();
    let mut due = server.ticker.now();
    for frame in 0..FRAMES {
        said.push((talker.speak(frame + 1 == FRAMES), server.ticker.now()));
        due += FRAME;
        tokio::time::sleep(due.duration_since(server.ticker.now()).into()).await;
    }
    for (n, ((said, at), (heard, heard_at))) in said.iter().zip(hearing.await.unwrap()).enumerate()
    {
        let delay = heard_at.duration_since(*at);
        assert!(
            *said == heard && delay <= Duration::from_millis(40),
            "frame {n} after {delay:?}"
        );
    }
}
