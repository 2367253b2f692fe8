//! Names that look like others: refused, so that nobody is taken for someone else.
//!
//! The core refuses what would upset a terminal; what is refused here takes tables that a microcontroller has no room for.

/// What is wrong with a name, as the end of a sentence; `None` if it shows as what it is.
pub fn objection(name: &str) -> Option<&'static str> {
    if name.trim() != name {
        Some("begins or ends with a space: leave it out")
    } else if name.chars().any(is_invisible) {
        Some("has a character that does not show: leave it out")
    } else {
        None
    }
}

/// Whether a character shows as nothing, breaks a line, or turns the order of what stands beside it: of Unicode's
/// Default_Ignorable_Code_Point (DerivedCoreProperties.txt) and Bidi_Control all but the two joiners (U+200C, U+200D), which some
/// scripts need within words; the line and paragraph separators; the interlinear annotation marks.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert!(objection(name).is_some(), "{name:?}");
        }
        for name in ["Ann B.", "Zoë", "می\u{200c}خواهم", "👩\u{200d}🚀", "愛"] {
            assert_eq!(objection(name), None, "{name:?}");
        }
    }
}
