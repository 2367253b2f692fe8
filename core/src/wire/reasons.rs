//! Why a server refuses, and why a session ends. One byte each; a number that this version does not know is kept as it is.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The longest sentence that goes with a Reject, in bytes of UTF-8.
pub const REJECT_TEXT_BYTES_MAX: usize = 160;

/// Declares a reason: its variants with their numbers and texts, and `Other` for numbers of later versions.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $label:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[serde(from = "u8", into = "u8")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A reason of a later version, by its number.
            Other(u8),
        }

        impl $name {
            /// Every reason of this version.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// A short name for logs and metrics, in snake_case.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                    Self::Other(_) => "other",
                }
            }
        }

        impl From<u8> for $name {
            fn from(number: u8) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(reason: $name) -> Self {
                match reason {
                    $($name::$variant => $number,)*
                    $name::Other(other) => other,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($text),)*
                    Self::Other(number) => write!(f, "reason {number} of a later version"),
                }
            }
        }
    };
}

reasons! {
    /// Why a client may not join.
    RejectReason {
        /// The two sides speak different versions of the protocol.
        Version = 0, "version", "the server speaks another version of the protocol";
        /// The name is empty, too long, or has control characters.
        BadName = 1, "bad_name", "the name is not acceptable";
        /// The room's name is empty, too long, or has control characters.
        BadRoom = 2, "bad_room", "the room's name is not acceptable";
        /// Someone in the room has that name.
        NameTaken = 3, "name_taken", "the name is taken in this room";
        /// The room has as many participants as it may have.
        RoomFull = 4, "room_full", "the room is full";
        /// The server has as many participants as it may have.
        ServerFull = 5, "server_full", "the server is full";
        /// No offered codec is known to the server.
        NoCommonCodec = 6, "no_common_codec", "no codec in common";
        /// No offered sample rate is the server's.
        NoCommonRate = 7, "no_common_rate", "no sample rate in common";
        /// The credentials are missing or wrong.
        BadCredentials = 8, "bad_credentials", "the credentials are not valid here";
        /// What came was not a Hello.
        NotAHello = 9, "not_a_hello", "a session begins with a Hello";
        /// What came was not a packet.
        Malformed = 10, "malformed", "the packet cannot be read";
        /// No Hello came in time.
        HandshakeTimeout = 11, "handshake_timeout", "no Hello came in time";
        /// The server is stopping.
        Stopping = 12, "stopping", "the server is stopping";
    }
}

reasons! {
    /// Why a session that had begun is over.
    ByeReason {
        /// The participant left.
        Leaving = 0, "leaving", "left";
        /// The server is stopping.
        Stopping = 1, "stopping", "the server is stopping";
        /// The peer was silent for the idle timeout.
        IdleTimeout = 2, "idle_timeout", "nothing was heard from the other side in time";
        /// The peer sent something that is not a packet, or not one for this moment.
        ProtocolError = 3, "protocol_error", "a packet could not be understood";
        /// The peer sent far more packets than frames go by.
        Flood = 4, "flood", "too many packets";
        /// The peer did not take what was sent to it.
        SlowConsumer = 5, "slow_consumer", "the other side does not read what it is sent";
        /// The peer began another session on the same stream.
        Rejoined = 6, "rejoined", "joined anew";
        /// The stream was closed without a Bye.
        ConnectionLost = 7, "connection_lost", "the connection was lost";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for number in 0..=u8::MAX {
            assert_eq!(u8::from(RejectReason::from(number)), number);
            assert_eq!(u8::from(ByeReason::from(number)), number);
        }
    }

    #[test]
    fn labels_are_unique() {
        for (i, reason) in RejectReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(u8::from(*reason)), i);
            assert!(
                RejectReason::ALL[..i]
                    .iter()
                    .all(|other| other.label() != reason.label())
            );
        }
    }
}
