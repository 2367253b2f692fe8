//! Names of rooms and participants: checked once, where they enter.

use core::fmt;
use core::ops::Deref;

use heapless::String;

/// The longest name of a participant, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 32;

/// The longest name of a room, in bytes of UTF-8.
pub const ROOM_BYTES_MAX: usize = 64;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// It is empty, or nothing but white space.
    Empty,
    /// It is longer than this many bytes.
    TooLong(u8),
    /// It has a control character (a line end, an escape), which would upset a terminal.
    ControlCharacter,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(max) => write!(f, "is longer than {max} bytes"),
            Self::ControlCharacter => f.write_str("has a control character"),
        }
    }
}

impl core::error::Error for NameError {}

/// A text of 1 to `MAX` bytes, not blank, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Name<const MAX: usize>(String<MAX>);

/// A participant's name, unique in his room.
pub type ParticipantName = Name<NAME_BYTES_MAX>;

/// A room's name.
pub type RoomName = Name<ROOM_BYTES_MAX>;

impl<const MAX: usize> Name<MAX> {
    const LEN_IN_A_BYTE: () = assert!(MAX <= u8::MAX as usize);

    /// Checks a text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let () = Self::LEN_IN_A_BYTE;
        check(text)?;
        String::try_from(text)
            .map(Self)
            .map_err(|_| NameError::TooLong(MAX as u8))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// All but the length, which is each kind's own: one function for all kinds, since it is large.
fn check(text: &str) -> Result<(), NameError> {
    let (mut blank, mut control) = (true, false);
    for character in text.chars() {
        blank &= is_blank(character);
        control |= character.is_control();
    }
    match (blank, control) {
        (true, _) => Err(NameError::Empty),
        (false, true) => Err(NameError::ControlCharacter),
        (false, false) => Ok(()),
    }
}

/// White space, as Unicode's property White_Space has it. That does not change any more, and the library's table takes 256 bytes.
const fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r'
            | ' '
            | '\u{85}'
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
    )
}

/// Whether a character shows nothing by itself: control characters, line and paragraph separators,
/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt of Unicode 16), interlinear
/// annotation, and the blank Braille cell; but not the joiners U+200C and U+200D, which some
/// scripts need, and which docs/PROTOCOL.md allows in names.
///
/// A name that has one could pass for another; a server may refuse it, and programs that show names
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
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_bytes() {
        assert!(ParticipantName::new(&"x".repeat(32)).is_ok());
        assert_eq!(
            ParticipantName::new(&"x".repeat(33)),
            Err(NameError::TooLong(32))
        );
        assert!(ParticipantName::new(&"é".repeat(16)).is_ok());
        assert_eq!(
            ParticipantName::new(&"é".repeat(17)),
            Err(NameError::TooLong(32))
        );
        assert!(RoomName::new(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn blank_is_what_unicode_calls_white_space() {
        for character in '\0'..=char::MAX {
            assert_eq!(
                is_blank(character),
                character.is_whitespace(),
                "{character:?}"
            );
        }
    }

    #[test]
    fn a_name_is_its_text() {
        let name = RoomName::new("the kitchen").unwrap();
        assert_eq!((name.as_str(), &*name), ("the kitchen", "the kitchen"));
    }

    #[test]
    fn blank_and_control_are_refused() {
        for blank in ["", " ", "\t\n", "\u{3000}\u{a0}"] {
            assert_eq!(RoomName::new(blank), Err(NameError::Empty));
        }
        for text in ["a\nb", "\x1b[2J", "a\0"] {
            assert_eq!(ParticipantName::new(text), Err(NameError::ControlCharacter));
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
            (0xfe00, 0xfe0f),
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
