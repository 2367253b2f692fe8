//! Why a server refuses, and why a session ends: one list, and one byte.

use core::fmt;

/// Why someone may not join, or a session is over. What to do about it follows from its class, so
/// that reasons of later versions work: see [`Reason::is_permanent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reason(pub u8);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retry_ms:literal, $label:literal,
        $text:literal;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every reason of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns a short name for logs and metrics, in snake_case.
            pub const fn label(self) -> &'static str {
                match self.0 {
                    $($number => $label,)*
                    _ => "other",
                }
            }

            /// Returns how long the other side is asked to wait before it tries again.
            pub const fn retry_ms(self) -> u32 {
                match self.0 {
                    $($number => $retry_ms,)*
                    _ => 0,
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self.0 {
                    $($number => $text,)*
                    number => return write!(f, "reason {number} of a later version"),
                })
            }
        }
    };
}

impl Reason {
    /// Returns whether trying again would end the same way.
    pub const fn is_permanent(self) -> bool {
        self.0 < 128
    }
}

reasons! {
    /// The participant left.
    LEAVING = 0, 0, "leaving", "left";
    /// The two sides speak different versions of the protocol.
    VERSION = 1, 0, "version",
        "the server speaks another version of the protocol: update the older of the two";
    /// The name is not acceptable.
    BAD_NAME = 2, 0, "bad_name", "the name is not acceptable: choose another one";
    /// The room's name is not acceptable.
    BAD_ROOM = 3, 0, "bad_room", "the room's name is not acceptable: choose another one";
    /// No codec that was offered is known to the server, or fits both sides.
    NO_CODEC = 4, 0, "no_codec", "no codec in common: offer ADPCM";
    /// No sample rate that was offered is the server's.
    NO_RATE = 5, 0, "no_rate", "no sample rate in common: offer 16000 Hz";
    /// The credentials are missing, wrong or too long.
    BAD_CREDENTIALS = 6, 0, "bad_credentials",
        "the credentials are not valid here: ask who runs the server";
    /// The other side takes packets that are too short only.
    MAX_PACKET = 7, 0, "max_packet", "packets of 352 bytes must fit";
    /// A packet with a good CRC cannot be read.
    MALFORMED = 8, 0, "malformed", "a packet cannot be read: update client and server";
    /// A packet is not for this moment, or of an unknown critical number.
    UNEXPECTED = 9, 0, "unexpected", "a packet could not be understood: update client and server";
    /// The session went on elsewhere.
    RESUMED = 10, 0, "resumed", "the session went on over another connection";
    /// The server is stopping.
    STOPPING = 128, 2_000, "stopping", "the server is stopping";
    /// Someone in the room has that name, or one that looks like it.
    NAME_TAKEN = 129, 5_000, "name_taken", "the name is taken in this room: choose another one";
    /// The room has as many participants as it may have.
    ROOM_FULL = 130, 10_000, "room_full", "the room is full";
    /// The server has as many participants as it may have.
    SERVER_FULL = 131, 5_000, "server_full", "the server is full";
    /// Too many connections wait to say Hello.
    CROWDED = 132, 1_000, "crowded", "too many connections wait to join";
    /// No Hello came in time.
    NO_HELLO = 133, 1_000, "no_hello", "no Hello came in time";
    /// Nothing was heard for the idle timeout.
    IDLE_TIMEOUT = 134, 0, "idle_timeout", "nothing was heard from the other side in time";
    /// Far more packets came than frames go by.
    FLOOD = 135, 5_000, "flood", "too many packets";
    /// The other side does not take what it is sent.
    SLOW_READER = 136, 1_000, "slow_reader", "the other side does not read what it is sent";
    /// The stream was closed without a Bye.
    CONNECTION_LOST = 137, 0, "connection_lost", "the connection was lost";
    /// What came needs a session, and there is none.
    NO_SESSION = 138, 0, "no_session", "a session begins with a Hello";
    /// Too many bytes came that are no packets.
    DAMAGE = 139, 1_000, "damage", "too much of what came is no packet";
    /// The participant began another session on the same stream.
    REJOINED = 140, 0, "rejoined", "joined again on the same connection";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_are_unique_and_waits_belong_to_those_who_may_come_back() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert!(Reason::ALL[..i].iter().all(|other| other.0 < reason.0));
            assert!(
                Reason::ALL[..i]
                    .iter()
                    .all(|other| other.label() != reason.label())
            );
            assert!(!reason.is_permanent() || reason.retry_ms() == 0);
        }
        assert_eq!((Reason(99).label(), Reason(99).retry_ms()), ("other", 0));
        assert!(Reason(127).is_permanent() && !Reason(200).is_permanent());
    }
}
