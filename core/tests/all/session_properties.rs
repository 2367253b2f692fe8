//! Both ends of a session under any input: no panic, and events in the right order.

use crate::common::cases::cases;
use crate::common::packets::{
    NONCE, OwnedClientPacket, OwnedServerPacket, client_packet, server_packet,
};
use crate::common::session_pair::bytes_of;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::session::{
    ClientEvent, ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest, ServerEvent, ServerSession,
    ServerSessionConfig,
};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ParticipantFlags, Reason, parse};

#[derive(Clone, Debug)]
enum Op<P> {
    Packet(P),
    Bytes(Vec<u8>),
    Garbage(u32),
    /// Milliseconds pass, then the timeout is handled.
    Wait(u32),
    /// A call by the user of the session; the number selects which.
    Own(u8),
}

fn ops<P: Clone + std::fmt::Debug>(
    packet: impl Strategy<Value = P>,
) -> impl Strategy<Value = Vec<Op<P>>> {
    let op = prop_oneof![
        8 => packet.prop_map(Op::Packet),
        1 => vec(any::<u8>(), 0..40).prop_map(Op::Bytes),
        1 => prop_oneof![0..100u32, any::<u32>()].prop_map(Op::Garbage),
        3 => prop_oneof![0..100u32, 0..20_000u32, any::<u32>()].prop_map(Op::Wait),
        2 => any::<u8>().prop_map(Op::Own),
    ];
    vec(op, 1..60)
}

/// What a server session has reported so far.
#[derive(Default)]
struct Told {
    is_in: bool,
    is_over: bool,
}

impl Told {
    fn hear(&mut self, event: &ServerEvent) {
        assert!(!self.is_over, "{event:?} after the end");
        match event {
            ServerEvent::Hello(_) => assert!(!self.is_in, "a Hello of one who is in"),
            ServerEvent::Muted(_)
            | ServerEvent::DelayReported(_)
            | ServerEvent::Repeated
            | ServerEvent::RosterRequested => {
                assert!(self.is_in)
            }
            ServerEvent::Left(reason, _) => {
                assert!(self.is_in, "one who was not in has left");
                self.is_in = false;
                self.is_over = *reason != Reason::REJOINED;
            }
            ServerEvent::Refused(_) => {
                assert!(!self.is_in, "a participant was refused");
                self.is_over = true;
            }
            other => panic!("{other:?} is news"),
        }
    }
}

fn run_server(ops: Vec<Op<OwnedClientPacket>>) {
    let mut now = Instant::ZERO;
    let config = ServerSessionConfig::new(AudioFormat::DEFAULT);
    let mut session = ServerSession::new(config, now);
    let mut told = Told::default();
    for op in ops {
        match op {
            Op::Packet(packet) => {
                let bytes = bytes_of(&packet.borrow());
                let voice = session.handle_packet(now, parse(&bytes));
                assert!(voice.is_none() || told.is_in, "voice before joining");
            }
            Op::Bytes(bytes) => drop(session.handle_packet(now, parse(&bytes))),
            Op::Garbage(bytes) => session.handle_garbage(now, bytes),
            Op::Wait(ms) => {
                now += Duration::from_millis(ms.into());
                session.handle_timeout(now);
                assert!(
                    session.poll_timeout().is_none_or(|at| at > now),
                    "the same timeout again"
                );
            }
            Op::Own(n) => match n % 16 {
                0 => session.end(Reason(n / 16), "enough"),
                1 => session.handle_disconnect(),
                _ => {}
            },
        }
        while let Some(event) = session.poll_event() {
            told.hear(&event);
            if let ServerEvent::Hello(hello) = event {
                if hello.muted && hello.name.len() % 2 == 0 {
                    session.end(Reason::NAME_TAKEN, &hello.name);
                } else {
                    session.accept();
                    told.is_in = true;
                }
            }
        }
        while session
            .poll_transmit(1, ParticipantFlags::default())
            .is_some()
        {}
        assert_eq!(session.is_joined(), told.is_in);
        assert_eq!(session.is_closed(), told.is_over);
        assert!(session.poll_event().is_none());
    }
}

fn run_client(ops: Vec<Op<OwnedServerPacket>>) {
    let mut now = Instant::ZERO;
    let request = JoinRequest::new("r".parse().unwrap(), "n".parse().unwrap(), &CodecId::ALL);
    let mut session = ClientSession::new(request);
    session.begin(HANDSHAKE_TIMEOUT_DEFAULT, NONCE, now);
    let (mut is_in, mut is_listing, mut is_over) = (false, false, false);
    for op in ops {
        match op {
            Op::Packet(packet) => {
                let bytes = bytes_of(&packet.borrow());
                let voice = session.handle_packet(now, parse(&bytes));
                assert!(voice.is_none() || is_in, "voice before a Welcome");
            }
            Op::Bytes(bytes) => drop(session.handle_packet(now, parse(&bytes))),
            Op::Garbage(_) => {}
            Op::Wait(ms) => {
                now += Duration::from_millis(ms.into());
                session.handle_timeout(now);
                assert!(
                    session.poll_timeout().is_none_or(|at| at > now),
                    "the same timeout again"
                );
            }
            Op::Own(n) => match n % 16 {
                0 => session.leave(None),
                1..5 => session.set_muted(n % 2 == 0, None),
                _ => {}
            },
        }
        while let Some(event) = session.poll_event() {
            assert!(!is_over, "{event:?} after the end");
            match event {
                ClientEvent::Joined(params, participants) => {
                    let samples = params.format.frame_samples();
                    assert!(!is_in && participants > 0 && samples >= 80);
                    is_in = true;
                }
                ClientEvent::Listed { is_first, .. } => {
                    assert!(is_in && (is_first || is_listing));
                    is_listing = true;
                }
                ClientEvent::RosterComplete => is_listing = false,
                ClientEvent::ParticipantJoined(_)
                | ClientEvent::ParticipantLeft(..)
                | ClientEvent::Count(_)
                | ClientEvent::State(..) => assert!(is_in),
                ClientEvent::Rejected(..) | ClientEvent::Closed(..) => is_over = true,
                other => panic!("{other:?} is news"),
            }
        }
        while session.poll_transmit().is_some() {}
        assert_eq!(session.is_closed(), is_over);
        assert_eq!(session.params().is_some(), is_in && !is_over);
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_server_survives_any_client(ops in ops(client_packet())) {
        run_server(ops);
    }

    #[test]
    fn a_client_survives_any_server(ops in ops(server_packet())) {
        run_client(ops);
    }
}
