//! What the server's end makes of a Hello: a request whose offers are good, or a refusal that says
//! what to do.

use heapless::{Vec, format};

use super::ServerSession;
use crate::audio::codec::CodecId;
use crate::carrier::stream::PACKET_MAX;
use crate::wire::{
    AROUND_PAYLOAD_BYTES, CREDENTIALS_BYTES_MAX, FEATURE_DELAY_REPORT, FEATURE_TICK_HINT, Hello,
    Nonce, PACKET_BYTES_LEAST, ParticipantFlags, ParticipantName, Reason, RoomName, Token,
};

/// A Hello whose offers are good. Room, credentials and name are the caller's to judge, in this
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HelloRequest {
    /// Names the attempt; the Welcome repeats it.
    pub nonce: Nonce,
    /// The longest packet that the client takes, and any server sends.
    pub max_packet: u16,
    /// The token of the session that this one resumes.
    pub resume: Option<Token>,
    /// The room to join; empty if it is longer than a room's name can be.
    pub room: RoomName,
    /// The name that the participant wants to have; empty if it is too long.
    pub name: ParticipantName,
    /// The codec of the client's voice: the first of its offers that this build knows.
    pub codec_up: CodecId,
    /// The codec of the voice that it gets, chosen in the same way.
    pub codec_down: CodecId,
    /// Whether the participant joins muted.
    pub muted: bool,
    /// Whether the client wants the roster, and not only how many are in the room.
    pub roster: bool,
    /// The features that the client and this build have, as bits.
    pub features: u32,
    /// What proves that the participant may join; `None` if it is longer than that can be.
    pub credentials: Option<Vec<u8, CREDENTIALS_BYTES_MAX, u8>>,
}

impl ServerSession {
    /// Checks all that does not depend on the room. Refuses the client if that is not good.
    pub(super) fn check_hello(&mut self, hello: &Hello<'_>) -> Option<HelloRequest> {
        let max_packet = usize::from(hello.max_packet).min(PACKET_MAX);
        if max_packet < PACKET_BYTES_LEAST {
            self.end(
                Reason::MAX_PACKET,
                "take packets of 352 bytes: some are as long",
            );
            return None;
        }
        let format = self.config.format;
        if !hello.rates_hz.contains(&format.rate.hz()) {
            let hz = format.rate.hz();
            let text = format!(64; "this server runs at {hz} Hz: offer that rate");
            self.end(Reason::NO_RATE, &text.unwrap_or_default());
            return None;
        }
        let payload_max = max_packet - AROUND_PAYLOAD_BYTES;
        let choose = |offered: &[u8]| {
            let mut known = offered.iter().filter_map(|&id| CodecId::from_id(id));
            known.find(|codec| codec.payload_len(format.frame_samples()) <= payload_max)
        };
        let codecs = choose(hello.codecs_up).zip(choose(hello.codecs_down));
        let Some((codec_up, codec_down)) = codecs else {
            let text = "this server knows the codecs pcm16 (0), for those who take long packets, \
                and adpcm (1): offer one of them each way";
            self.end(Reason::NO_CODEC, text);
            return None;
        };
        Some(HelloRequest {
            nonce: hello.nonce,
            max_packet: max_packet as u16,
            resume: hello.resume,
            room: RoomName::new(hello.room).unwrap_or_default(),
            name: ParticipantName::new(hello.name).unwrap_or_default(),
            codec_up,
            codec_down,
            muted: hello.flags.has(ParticipantFlags::MUTED),
            roster: hello.roster > 0,
            features: hello.features & (FEATURE_TICK_HINT | FEATURE_DELAY_REPORT),
            credentials: Vec::from_slice(hello.credentials).ok(),
        })
    }
}
