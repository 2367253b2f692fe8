//! What is a name, and which names look the same: the rules of docs/PROTOCOL.md. They take tables
//! that a microcontroller has no room for, so the server judges names for everyone.

use talkspurt_core::wire::{Name, is_hidden};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::emoji::is_regional_indicator;
use unicode_properties::{GeneralCategoryGroup as Group, UnicodeEmoji, UnicodeGeneralCategory};

/// Returns the name in Unicode's normalization form C.
///
/// # Errors
/// Says what is wrong with the name, as the end of a sentence, and what to do about it.
pub fn judge<const MAX: usize>(name: &Name<MAX>) -> Result<Name<MAX>, String> {
    // A name that was too long has become an empty one: only short ones are composed.
    let composed: String = name.nfc().collect();
    let Ok(name) = Name::new(&composed) else {
        return Err(format!(
            "is empty, or longer than {MAX} bytes: choose another name"
        ));
    };
    if name.trim() != &*name {
        return Err("begins or ends with a space: leave it out".to_owned());
    }
    let characters: Vec<char> = name.chars().collect();
    let shows = |at: usize| {
        let before = at.checked_sub(1).map(|at| characters[at]);
        match characters[at] {
            '\u{fe0f}' => before.is_some_and(UnicodeEmoji::is_emoji_char),
            '\u{200c}' | '\u{200d}' => [before, characters.get(at + 1).copied()]
                .into_iter()
                .all(|neighbour| neighbour.is_some_and(can_be_joined)),
            character => !is_hidden(character),
        }
    };
    if !(0..characters.len()).all(shows) {
        return Err("has a character that does not show: leave it out".to_owned());
    }
    if !characters.into_iter().any(is_visible) {
        return Err("has nothing to see: choose another name".to_owned());
    }
    Ok(name)
}

/// Returns how a name looks: names that look the same have the same skeleton by Unicode Technical
/// Standard 39, whatever white space is in them.
pub fn look(name: &str) -> String {
    let mut look = String::new();
    for character in unicode_security::skeleton(name) {
        if !character.is_whitespace() {
            look.push(character);
        } else if !look.ends_with(' ') {
            look.push(' ');
        }
    }
    look
}

/// Whether it may stand beside a joiner: in a word, or in a sequence that makes one emoji.
fn can_be_joined(character: char) -> bool {
    // Digits and the letters of flags are emoji, too.
    let is_pictographic =
        character.is_emoji_char() && !character.is_ascii() && !is_regional_indicator(character);
    let group = character.general_category_group();
    character == '\u{fe0f}' || is_pictographic || matches!(group, Group::Letter | Group::Mark)
}

fn is_visible(character: char) -> bool {
    matches!(
        character.general_category_group(),
        Group::Letter | Group::Number | Group::Punctuation | Group::Symbol
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use talkspurt_core::wire::{ParticipantName, RoomName};
    use talkspurt_host_kit::words::clean;

    /// Returns what a server makes of a name.
    fn judged(name: &str) -> Option<String> {
        let name = ParticipantName::new(name).unwrap_or_default();
        judge(&name).ok().map(|name| name.as_str().to_owned())
    }

    #[test]
    fn what_people_are_called_in_any_language_is_a_name() {
        for name in [
            "Ann B.",
            "Zoë",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "愛",
            "7",
            "?",
            "❤",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "🏳\u{fe0f}\u{200d}🌈",
            "👩\u{1f3fd}\u{200d}🚀",
            "👨\u{200d}🦰",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "🇳🇿",
        ] {
            assert_eq!(judged(name).as_deref(), Some(name), "{name:?}");
        }
    }

    #[test]
    fn what_does_not_show_as_what_it_is_is_refused() {
        for name in [
            "",
            " ",
            "ada ",
            " ada",
            "\u{a0}ada",
            "ada\u{3000}",
            "ada\u{200b}",
            "\u{3164}",
            "\u{202e}ada",
            "a\u{2028}da",
            "a\u{7}da",
            "a\u{85}da",
            "ada\u{e0041}",
            "ada\u{fe00}",
            "ada\u{fe0f}",
            "\u{fe0f}",
            "a\u{fff9}b\u{fffa}c\u{fffb}",
            "\u{2800}",
            "\u{301}",
            "\u{200d}",
            "\u{200d}ada",
            "ada\u{200c}",
            "a\u{200d} b",
            "a\u{200c}\u{200d}b",
            "1\u{200d}2",
            "🇳\u{200d}🇿",
        ] {
            assert_eq!(judged(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_is_composed_and_then_no_longer_than_it_may_be() {
        assert_eq!(judged("Zoe\u{308}").as_deref(), Some("Zoë"));
        assert_eq!(judged("\u{2126}").as_deref(), Some("\u{3a9}"));
        let longest = "é".repeat(16);
        assert_eq!(judged(&longest), Some(longest));
        // Three bytes that have no composed form, but one of six.
        assert_eq!(
            judged(&"\u{958}".repeat(5)).map(|name| name.len()),
            Some(30)
        );
        assert_eq!(judged(&"\u{958}".repeat(6)), None);
        let room = RoomName::new(&"x".repeat(64)).unwrap();
        assert_eq!(judge(&room), Ok(room));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = |name: &str| judge(&ParticipantName::new(name).unwrap_or_default());
        for (name, part) in [
            ("", "longer than 32 bytes: choose another"),
            ("ada ", "leave it out"),
            ("a\u{200b}", "does not show: leave it out"),
            ("\u{301}", "nothing to see: choose another"),
        ] {
            let said = refusal(name).unwrap_err();
            assert!(said.contains(part), "{name:?}: {said}");
        }
    }

    #[test]
    fn names_that_look_the_same_have_one_look() {
        for (name, other) in [
            ("ada", "\u{430}d\u{430}"),
            ("modern", "modem"),
            ("Zoë", "Zoe\u{308}"),
            ("a b", "a\u{a0}b"),
            ("a b", "a \u{2003} b"),
            ("O", "0"),
            ("❤", "❤\u{fe0f}"),
            ("می\u{200c}خواهم", "میخواهم"),
        ] {
            assert_eq!(look(name), look(other), "{name:?} and {other:?}");
        }
        for (name, other) in [
            ("ada", "Ada"),
            ("ada", "adä"),
            ("ab", "a b"),
            ("anna", "ana"),
            ("愛", "受"),
        ] {
            assert_ne!(look(name), look(other), "{name:?} and {other:?}");
        }
    }

    #[test]
    fn every_character_is_refused_or_shown_by_our_programs_as_it_is() {
        for character in '\0'..=char::MAX {
            for name in [
                format!("bob{character}"),
                format!("b{character}b"),
                character.into(),
            ] {
                let shown = judged(&name).is_none_or(|name| clean(&name) == name);
                assert!(shown, "{character:?} in {name:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_refused_and_a_name_stays_as_it_is(
            text in "[\\PC\u{200c}\u{200d}\u{fe0f}❤👩e\u{301} ]{0,12}|.{0,40}",
        ) {
            if let Some(name) = judged(&text) {
                prop_assert!((1..=32).contains(&name.len()));
                prop_assert_eq!(clean(&name), name.as_str());
                prop_assert_eq!(look(&look(&name)), look(&name));
                prop_assert_eq!(judged(&name), Some(name));
            }
        }
    }
}
