//! A talker whose uplink is too slow for their voice: late voice is dropped where it is said,
//! nobody is thrown out, and once the line recovers the voice is on time again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use socket2::{Domain, Socket, Type};
use talkspurt_testkit::bit_exact::{covered_in_time, exact_runs, joined_over_blends};
use talkspurt_testkit::busy_machine::{repeat_if_line_spoilt, repeat_if_spoilt};
use talkspurt_testkit::fixture::{SOON, Stage, finish, leave};
use talkspurt_testkit::heard_speech::due;
use talkspurt_testkit::noise::{noise, soft_noise};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{Node, bridge, client};
use talkspurt_testkit::wav::{self, samples};

/// Bytes a second that the slow line carries: 200 kbit/s. PCM16 at 20 ms takes 33,600.
const SLOW_BYTES: f64 = 25_000.0;
/// How long the line is slow after joining: long enough that a talker who keeps everything would be
/// 2.5 s late.
const SLOW: Duration = Duration::from_secs(10);
/// How long after the recovery voice may still be late.
const BACK_WITHIN: Duration = Duration::from_secs(1);
/// How long the talker talks.
const SAYS: Duration = Duration::from_secs(16);
/// When the talker pauses, so that playout can give up the delay that it needed before.
const PAUSE_FROM: Duration = Duration::from_millis(12_500);
const PAUSE_TO: Duration = Duration::from_millis(13_500);
/// How long the gate may take to open.
const ONSET: Duration = Duration::from_millis(100);
/// How many samples late sound may be while the line is slow. Measured: 640 to 720 ms, of which 300
/// ms wait at the talker; some 20 packets wait in the kernels. A talker who keeps everything is 2.5
/// s late.
const LATEST_WHILE_SLOW: usize = samples(850);
/// The same once the line has recovered, before any pause: less than is measured while it is slow.
/// The margin may still be wider than after a pause.
const LATEST_IN_TALKSPURT: usize = samples(540);
/// The same after the pause: a serial line, a gate and a mix take up to 380 ms on a busy machine.
const LATEST_AT_LAST: usize = samples(450);

/// Noise with that pause. During the pause the noise is too quiet for the gate, yet identifies each
/// sample's place, which zeros would not.
fn talk() -> Vec<i16> {
    let mut says = noise(1, samples(ms(SAYS)));
    let pause = &mut says[samples(ms(PAUSE_FROM))..samples(ms(PAUSE_TO))];
    pause.copy_from_slice(&soft_noise(2, pause.len(), 256));
    says
}

/// A relay to a server with little room for bytes on their way. It carries them slowly until it is
/// told to recover.
struct SlowUplink {
    address: String,
    is_slow: Arc<AtomicBool>,
}

impl SlowUplink {
    fn to(server: &str) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // The relay's own kernel buffers come on top of the talker's.
        socket.set_recv_buffer_size(4 * 1024)?;
        // Loopback's segments of 64 KiB never fit that window, and a sender with room for less than
        // a segment may wait for its probe timer, 200 ms each time. A real line has segments
        // smaller than its window: here TCP's default (RFC 9293, section 3.7.1).
        socket.set_tcp_mss(536)?;
        let any: SocketAddr = "127.0.0.1:0".parse()?;
        socket.bind(&any.into())?;
        socket.listen(8)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?.to_string();
        let is_slow = Arc::new(AtomicBool::new(true));
        let (server, slow) = (server.to_owned(), Arc::clone(&is_slow));
        // The thread ends with the test program.
        thread::spawn(move || {
            for talker in listener.incoming().flatten() {
                // A talker without a relay sees its connection end.
                let _ = relay(talker, &server, &slow);
            }
        });
        Ok(Self { address, is_slow })
    }

    fn recover(&self) {
        self.is_slow.store(false, Ordering::Release);
    }
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn relay(talker: TcpStream, server: &str, is_slow: &Arc<AtomicBool>) -> Result<()> {
    let server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    talker.set_nodelay(true)?;
    let (up, down) = ((talker.try_clone()?, server.try_clone()?), (server, talker));
    let is_slow = Arc::clone(is_slow);
    thread::spawn(move || carry(up, || is_slow.load(Ordering::Acquire)));
    thread::spawn(move || carry(down, || false));
    Ok(())
}

/// Carries bytes until either side has ended.
fn carry((mut from, mut to): (TcpStream, TcpStream), is_slow: impl Fn() -> bool) {
    let mut chunk = [0; 500];
    // When the line is free again. Capacity that was not used is lost.
    let mut free_at = Instant::now();
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if is_slow() {
            free_at = free_at.max(Instant::now() - Duration::from_millis(20));
            free_at += Duration::from_secs_f64(count as f64 / SLOW_BYTES);
            thread::sleep(free_at.saturating_duration_since(Instant::now()));
        }
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    // An error here means that they are already gone.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What was heard of a talker who said `says` through a slow line that recovered.
struct Outcome<'a> {
    stage: &'a Stage,
    says: &'a [i16],
    talker: &'a Process,
    lis: &'a mut Process,
}

impl Outcome<'_> {
    fn check(self) -> Result<()> {
        let Self {
            stage,
            says,
            talker,
            lis,
        } = self;
        let (name, log) = (talker.name(), stage.server.process.log());
        ensure!(
            talker
                .events()
                .iter()
                .all(|event| event.kind != "reconnecting"),
            "{name} was dropped; the server said:\n{log}"
        );
        let gone = lis
            .events()
            .iter()
            .filter(|e| e.kind == "participant_left")
            .count();
        ensure!(gone <= 1, "{name} was dropped {gone} times");
        ensure!(
            !log.contains("WARN") && !log.contains("ERROR") && !log.contains("flood"),
            "{log}"
        );
        leave(lis)?;
        let joined = |who: &Process| who.wait_for_event("joined", Duration::ZERO);
        let due = due(joined(talker)?.at, joined(lis)?.at);
        let heard = stage.heard("r", "lis")?;
        // Noise has no quiet moment, so frames are blended to shorten the delay.
        let runs = exact_runs(says, &heard);
        let runs = joined_over_blends(&runs, says, &heard, samples(20));
        let share = |part: Range<usize>, latest| {
            covered_in_time(&runs, part.clone(), due, latest) as f64 / part.len() as f64
        };
        let part = |from, to| samples(ms(from))..samples(ms(to));
        let before = share(part(SLOW + BACK_WITHIN, PAUSE_FROM), LATEST_IN_TALKSPURT);
        let after = share(part(PAUSE_TO + ONSET, SAYS), LATEST_AT_LAST);
        println!("{name}: {before:.3} after the recovery, {after:.3} after the pause");
        let mut delays = runs
            .iter()
            .map(|run| run.heard as i64 - run.spoken as i64 - due);
        let worst = delays.clone().max().unwrap_or_default();
        let last = delays.next_back().unwrap_or_default();
        let ms = |delay| delay / samples(1) as i64;
        println!(
            "{name}: at most {} ms late, at last {}",
            ms(worst),
            ms(last)
        );
        ensure!(
            worst < LATEST_WHILE_SLOW as i64,
            "{name} was heard {} ms late",
            ms(worst)
        );
        ensure!(
            before > 0.98 && after > 0.98,
            "{name}: {before:.3} was heard on time after the recovery, {after:.3} after a pause"
        );
        Ok(())
    }
}

#[test]
fn a_desktop_talker_on_a_slow_uplink_stays_and_is_on_time_when_it_recovers() -> Result<()> {
    repeat_if_spoilt(|| {
        let stage = Stage::new(&[])?;
        let mut lis = stage.join("r", "lis", &[], &["--codec", "pcm16"])?;
        let uplink = SlowUplink::to(&stage.server.address)?;
        let says = talk();
        let path = stage.path("says.wav");
        wav::write(&path, &says)?;
        let input = path.display().to_string();
        let flags = ["--codec", "pcm16", "--input", &input, "--output", "none"];
        let mut ann = client(&uplink.address, "r", "ann", &flags)?;
        ann.wait_for_event("joined", SOON)?;
        thread::sleep(SLOW);
        uplink.recover();
        let dropped = finish(&mut ann, SOON)?.number("/frames_dropped")?;
        Outcome {
            stage: &stage,
            says: &says,
            talker: &ann,
            lis: &mut lis,
        }
        .check()?;
        ensure!(
            dropped > 50,
            "only {dropped} frames were counted as dropped"
        );
        Ok(())
    })
}

#[test]
fn a_node_behind_a_bridge_on_a_slow_uplink_stays_and_is_on_time_when_it_recovers() -> Result<()> {
    repeat_if_line_spoilt(|| {
        let stage = Stage::new(&[])?;
        let mut lis = stage.join("r", "lis", &[], &["--codec", "pcm16"])?;
        let uplink = SlowUplink::to(&stage.server.address)?;
        let says = talk();
        let path = stage.path("says.wav");
        wav::write(&path, &says)?;
        let input = path.display().to_string();
        let flags = ["--codec", "pcm16", "--input", &input, "--output", "none"];
        let mut kettle = Node::start("r", "kettle", 460_800, &flags)?;
        let pump = bridge(&kettle.serial, 460_800, &uplink.address)?;
        kettle.process.wait_for_event("joined", SOON)?;
        thread::sleep(SLOW);
        uplink.recover();
        finish(&mut kettle.process, SOON)?;
        Outcome {
            stage: &stage,
            says: &says,
            talker: &kettle.process,
            lis: &mut lis,
        }
        .check()?;
        ensure!(
            pump.log().contains("dropped"),
            "dropped voice was not reported: {}",
            pump.log()
        );
        Ok(())
    })
}
