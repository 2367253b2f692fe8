//! Names of rooms and participants, and texts for people. Whether a name is acceptable is the
//! server's business alone: here it is a text that is not too long.

use core::fmt;
use core::ops::Deref;

use heapless::String;
use heapless::string::StringView;

/// The longest name of a participant, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 32;

/// The longest name of a room, in bytes of UTF-8.
pub const ROOM_BYTES_MAX: usize = 64;

/// The longest sentence that goes with a Reject or a Bye, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 160;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than this many bytes.
    TooLong(u8),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(max) => write!(f, "is longer than {max} bytes"),
        }
    }
}

impl core::error::Error for NameError {}

/// A text of at most `MAX` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Name<const MAX: usize>(String<MAX, u8>);

/// A participant's name, unique in the room.
pub type ParticipantName = Name<NAME_BYTES_MAX>;

/// A room's name.
pub type RoomName = Name<ROOM_BYTES_MAX>;

impl<const MAX: usize> Name<MAX> {
    /// Creates a name of 1 to `MAX` bytes. The server may still refuse it.
    ///
    /// # Errors
    /// Says what is wrong with the length.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        String::try_from(text)
            .map(Self)
            .map_err(|_| NameError::TooLong(MAX as u8))
    }

    /// Takes a name as a server says it: cut, and empty if nothing is left.
    pub fn from_server(text: Text<'_>) -> Self {
        let mut name = String::new();
        text.copy_to(&mut name);
        Self(name)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Name<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Name<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> core::str::FromStr for Name<MAX> {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// Whether a character shows nothing by itself: control characters, line and paragraph separators,
/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt of Unicode 16), interlinear
/// annotation, and the blank Braille cell; but not the joiners U+200C and U+200D, which some
/// scripts need, nor U+FE0F, which makes a sign an emoji. docs/PROTOCOL.md says where names may
/// have those.
///
/// A name that has one could pass for another; a server refuses it, and programs that show names
/// leave it out. [`ParticipantName`] does not look for any, since the table would cost a
/// microcontroller's flash.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A text from a server: UTF-8, but for mistakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Text<'a>(pub &'a [u8]);

impl Text<'_> {
    /// Returns whether a client may say it.
    pub(super) fn is_well_formed(&self) -> bool {
        self.0.len() <= TEXT_BYTES_MAX && core::str::from_utf8(self.0).is_ok()
    }

    /// Replaces the text in `place` by as much of this one as fits: without control characters,
    /// which would upset a terminal, and with U+FFFD for each byte that is not UTF-8.
    pub(crate) fn copy_to(self, place: &mut StringView<u8>) {
        place.clear();
        let mut rest = self.0;
        while !rest.is_empty() {
            let first = first_char(rest);
            rest = &rest[first.map_or(1, char::len_utf8)..];
            let character = first.unwrap_or(char::REPLACEMENT_CHARACTER);
            if !character.is_control() && place.push(character).is_err() {
                return;
            }
        }
    }
}

/// The character that a text begins with. The library's decoder would take a microcontroller 500
/// bytes more of flash, half of them a table.
fn first_char(text: &[u8]) -> Option<char> {
    let lead = *text.first()?;
    let ones = lead.leading_ones();
    let len = ones.max(1) as usize;
    let start = u32::from(lead) & (0x7f >> ones);
    let code = text.get(1..len)?.iter().try_fold(start, |code, &byte| {
        (byte & 0xc0 == 0x80).then(|| code << 6 | u32::from(byte & 0x3f))
    })?;
    let is_first = |character: &char| ones != 1 && character.len_utf8() == len;
    char::from_u32(code).filter(is_first)
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::borrow::ToOwned;

    #[test]
    fn lengths_are_counted_in_bytes() {
        assert!(ParticipantName::new(&"x".repeat(32)).is_ok());
        let too_long = Err(NameError::TooLong(32));
        assert_eq!(ParticipantName::new(&"x".repeat(33)), too_long);
        assert!(ParticipantName::new(&"é".repeat(16)).is_ok());
        assert_eq!(ParticipantName::new(&"é".repeat(17)), too_long);
        assert!(RoomName::new(&"x".repeat(64)).is_ok());
        assert_eq!(RoomName::new(""), Err(NameError::Empty));
    }

    #[test]
    fn a_name_is_its_text() {
        let name = RoomName::new("the kitchen").unwrap();
        assert_eq!((name.as_str(), &*name), ("the kitchen", "the kitchen"));
    }

    #[test]
    fn what_a_server_says_is_cut_and_mended_but_never_refused() {
        let name = |bytes: &[u8]| {
            ParticipantName::from_server(Text(bytes))
                .as_str()
                .to_owned()
        };
        assert_eq!(name(b""), "");
        assert_eq!(name(b"a\xffb\x1b[2J"), "a\u{fffd}b[2J");
        assert_eq!(name("é".repeat(17).as_bytes()), "é".repeat(16));
        assert_eq!(
            name(&[&b"x".repeat(31)[..], "é".as_bytes()].concat()),
            "x".repeat(31)
        );
    }

    proptest! {
        /// Bytes of few values make whole characters, and beginnings and ends of some.
        #[test]
        fn characters_are_those_of_the_library_and_bytes_of_none_are_replaced(
            bytes in vec(
                prop_oneof![any::<u8>(), 0x7e..0x82u8, 0xbe..0xc3u8, 0xde..0xe2u8, 0xec..0xf6u8],
                0..40,
            ),
        ) {
            let mut mended = heapless::String::<200, u8>::new();
            Text(&bytes).copy_to(&mut mended);
            let mut expected = std::string::String::new();
            for chunk in bytes.utf8_chunks() {
                expected.extend(chunk.valid().chars().filter(|c| !c.is_control()));
                expected.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            prop_assert_eq!(mended.as_str(), expected);
        }
    }

    #[test]
    fn what_shows_nothing_is_not_shown_and_its_neighbours_are() {
        for (first, last) in [
            (0, 0x1f),
            (0x7f, 0x9f),
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x200b, 0x200b),
            (0x200e, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x206f),
            (0x2800, 0x2800),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0e),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfffb),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0xe0000, 0xe0fff),
        ] {
            let is_hidden = |code| char::from_u32(code).is_some_and(is_hidden);
            assert!((first..=last).all(is_hidden), "{first:x}");
            let before = first.checked_sub(1);
            assert!(
                !before.is_some_and(is_hidden) && !is_hidden(last + 1),
                "{first:x}"
            );
        }
    }
}
