//! Names that look like others: refused, so that nobody is taken for someone else.
//!
//! The core refuses what would upset a terminal; what is refused here takes tables that a
//! microcontroller has no room for. The table of characters that do not show is that of the
//! programs that show names: what they would leave out is refused.

use talkspurt_core::wire::is_hidden;

/// What is wrong with a name, as the end of a sentence; `None` if it shows as what it is.
pub fn objection(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty, or too long: choose another")
    } else if name.trim() != name {
        Some("begins or ends with a space: leave it out")
    } else if name.chars().any(is_hidden) {
        Some("has a character that does not show: leave it out")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use talkspurt_host_kit::words::clean;

    #[test]
    fn a_name_that_would_be_shown_otherwise_is_refused() {
        for character in '\0'..=char::MAX {
            for name in [
                format!("bob{character}"),
                format!("b{character}b"),
                character.into(),
            ] {
                let is_refused = objection(&name).is_some();
                assert!(
                    is_refused || clean(&name) == name,
                    "{character:?} in {name:?}"
                );
            }
        }
    }

    #[test]
    fn what_looks_like_another_name_is_refused() {
        for name in [
            "ada ",
            " ada",
            "\u{a0}ada",
            "ada\u{200b}",
            "\u{3164}",
            "\u{202e}ada",
            "a\u{2028}da",
            "ada\u{e0041}",
            "ada\u{fe00}",
            "\u{2800}",
        ] {
            assert!(objection(name).is_some(), "{name:?}");
        }
        for name in [
            "Ann B.",
            "Zoë",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            "❤",
            "❤\u{fe0f}",
            "愛",
        ] {
            assert_eq!(objection(name), None, "{name:?}");
        }
    }
}
