//! Errors of the system in words for people.

use std::error::Error;

/// What an error says, to stand within a sentence: without `(os error N)`, and not starting with a capital.
///
/// ```
/// use std::io;
/// let error = io::Error::from_raw_os_error(111);
/// # #[cfg(target_os = "linux")]
/// assert_eq!(talkspurt_host_kit::words::describe(&error), "connection refused");
/// ```
#[must_use]
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text[start..].find(')') else {
            break;
        };
        text.replace_range(start..=start + length, "");
    }
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // "Permission denied", but not "I/O" or "WAV".
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn numbers_of_the_system_are_left_out() {
        let denied = io::Error::from_raw_os_error(13).to_string();
        assert!(denied.ends_with("(os error 13)"), "{denied}");
        let nested = io::Error::other(format!("cannot open x: {denied}; try y"));
        let said = describe(&nested);
        assert!(
            !said.contains("os error") && said.ends_with("; try y"),
            "{said}"
        );
        assert_eq!(describe(&io::Error::other("WAV is odd")), "WAV is odd");
        assert_eq!(describe(&io::Error::other("Odd")), "odd");
        assert_eq!(describe(&io::Error::other("")), "");
    }
}
