//! The node's room, name and baud rate, chosen at build time by environment variables.
//!
//! ```text
//! TALKSPURT_ROOM=kitchen TALKSPURT_NAME=fridge TALKSPURT_BAUD=230400 cargo build --release
//! ```
//!
//! The compiler refuses an invalid value.

use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::session::JoinRequest;
use talkspurt_core::wire::{ParticipantName, RoomName};
use talkspurt_node::node::ClientConfig;

/// The room to join.
pub const ROOM: &str = match option_env!("TALKSPURT_ROOM") {
    Some(room) => room,
    None => "lab",
};

/// The node's name.
pub const NAME: &str = match option_env!("TALKSPURT_NAME") {
    Some(name) => name,
    None => "pico",
};

/// Baud rate of the serial line; the bridge must use the same. 115,200 baud carry ADPCM both ways
/// (docs/FIRMWARE.md).
pub const BAUD: u32 = match option_env!("TALKSPURT_BAUD") {
    Some(text) => number(text),
    None => 115_200,
};

/// From the slowest line on which a Hello gets through while the node waits for its answer, to the
/// fastest rate that the UART's divisor of 16 makes from 128 MHz with an error of at most 2 %
/// (RP2040 data sheet, section 4.2).
const BAUD_RANGE: core::ops::RangeInclusive<u32> = 9_600..=2_000_000;

const _: () = assert!(
    is_name(ROOM, 64),
    "TALKSPURT_ROOM must have 1 to 64 bytes, not only spaces, and no control characters"
);
const _: () = assert!(
    is_name(NAME, 32),
    "TALKSPURT_NAME must have 1 to 32 bytes, not only spaces, and no control characters"
);
const _: () = assert!(
    BAUD >= *BAUD_RANGE.start() && BAUD <= *BAUD_RANGE.end(),
    "TALKSPURT_BAUD must be 9600 to 2000000"
);

/// Returns the loop's configuration. `None` for a name that passed the check at compile time but
/// not the core's, which knows more control characters.
#[must_use]
pub fn node() -> Option<ClientConfig> {
    let room = RoomName::new(ROOM).ok()?;
    let name = ParticipantName::new(NAME).ok()?;
    Some(ClientConfig::new(JoinRequest::new(
        room,
        name,
        &[CodecId::ImaAdpcm],
    )))
}

const fn is_name(text: &str, bytes_max: usize) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut blank) = (0, true);
    while at < bytes.len() {
        if bytes[at].is_ascii_control() {
            return false;
        }
        blank &= bytes[at] == b' ';
        at += 1;
    }
    !blank && bytes.len() <= bytes_max
}

const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("TALKSPURT_BAUD must be a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(is_name("küche 2", 64));
        for bad in ["", "   ", "a\nb", "123456789"] {
            assert!(!is_name(bad, 8), "{bad:?}");
        }
    }

    #[test]
    fn the_default_is_a_node() {
        let node = node().expect("a name");
        assert_eq!(node.request.room.as_str(), ROOM);
        assert_eq!(node.request.name.as_str(), NAME);
    }
}
