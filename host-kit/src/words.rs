//! System errors in words for people.

use std::{error::Error, fmt::Write as _, io};

use talkspurt_core::wire::is_hidden;

/// Describes an error for use within a sentence: without `(os error N)` and without an initial
/// capital.
///
/// ```
/// use std::io;
/// let error = io::Error::from_raw_os_error(111);
/// # #[cfg(target_os = "linux")]
/// assert_eq!(talkspurt_host_kit::words::describe(&error), "connection refused");
/// ```
#[must_use]
pub fn describe(error: &dyn Error) -> String {
    let text = without_numbers(error.to_string());
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // "Permission denied", but not "I/O" or "WAV".
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

/// Removes the `(os error N)` that the standard library appends to system errors.
#[must_use]
pub fn without_numbers(mut text: String) -> String {
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text[start..].find(')') else {
            break;
        };
        text.replace_range(start..=start + length, "");
    }
    text
}

/// Says why no connection to a host could be made, and what to check. For the first contact, when a
/// person has just typed the name.
#[must_use]
pub fn unreachable(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let said = describe(error);
    let advice = match error.kind() {
        Kind::ConnectionRefused => {
            return "nothing listens there; is the server running, and is that its port?".into();
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable => {
            return format!("{said}; is this machine on the network, and is the address right?");
        }
        Kind::NetworkDown => return "the network is down".into(),
        Kind::AddrNotAvailable => return "no host has that address".into(),
        Kind::TimedOut => "is the address right, and does a firewall let the port through?",
        Kind::PermissionDenied => "a firewall of this machine may forbid it",
        _ => return lookup(&said).unwrap_or(said),
    };
    format!("{said}; {advice}")
}

/// Says what a failed look-up of a name means. The standard library passes on the system's words,
/// and has no error kind for it.
fn lookup(said: &str) -> Option<String> {
    let reason = said.strip_prefix("failed to lookup address information: ")?;
    let is_passing = reason.to_lowercase().contains("temporar");
    Some(match is_passing {
        true => "names cannot be looked up now; is this machine on the network?".into(),
        false => "there is no host of that name; is it spelt right?".into(),
    })
}

/// Cleans foreign text so that it may be shown to people: removes control characters and characters
/// that are invisible or change the writing direction. With those a name could pass for another one
/// or for our own text. What joins letters or makes an emoji stays where it can do so: every name
/// that a server takes is shown as it is.
///
/// ```
/// use talkspurt_host_kit::words::clean;
/// assert_eq!(clean("b\u{202e}ob\u{1b}[2J"), "bob[2J");
/// assert_eq!(clean("\u{200b}"), "(unprintable)");
/// ```
#[must_use]
pub fn clean(text: &str) -> String {
    let mut characters = text.chars().filter(|&c| !is_hidden(c)).peekable();
    let (mut shown, mut before) = (String::with_capacity(text.len()), ' ');
    while let Some(c) = characters.next() {
        let shows = match c {
            '\u{fe0f}' => stands_alone(before) && !before.is_ascii_alphabetic(),
            '\u{200c}' | '\u{200d}' => {
                let after = characters.peek();
                (stands_alone(before) || before == '\u{fe0f}')
                    && after.is_some_and(|&c| stands_alone(c))
            }
            _ => true,
        };
        if shows {
            shown.push(c);
            before = c;
        }
    }
    match shown.trim() {
        "" if !text.is_empty() => "(unprintable)".into(),
        shown => shown.into(),
    }
}

/// Whether a character shows something by itself.
fn stands_alone(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}')
}

/// Escapes characters in JSON that are invisible or change the writing direction. A terminal then
/// shows the JSON as it is, and its reader still gets every character.
///
/// ```
/// use talkspurt_host_kit::words::escape_hidden;
/// assert_eq!(escape_hidden("\"b\u{202e}ob\""), r#""b\u202eob""#);
/// ```
#[must_use]
pub fn escape_hidden(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    // Outside strings JSON is ASCII, and control characters are escaped already.
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line
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

    #[test]
    fn an_unknown_name_and_a_missing_network_are_told_apart() {
        let lookup = |reason| {
            let text = format!("failed to lookup address information: {reason}");
            unreachable(&io::Error::other(text))
        };
        assert!(lookup("Name or service not known").contains("no host of that name"));
        assert!(lookup("Temporary failure in name resolution").contains("on the network"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_kind_of_failure_has_its_advice() {
        for (code, part) in [
            (111, "is the server running"),
            (113, "no route to host; is this machine on the network"),
            (101, "network is unreachable; is this"),
            (110, "firewall let the port through"),
            (104, "connection reset by peer"),
        ] {
            let said = unreachable(&io::Error::from_raw_os_error(code));
            assert!(said.contains(part) && !said.contains("os error"), "{said}");
        }
    }

    #[test]
    fn visible_text_in_any_language_is_kept() {
        for text in [
            "Ann",
            "José",
            "Zoë",
            "Ольга",
            "李雷",
            "שרה",
            "مريم",
            "a b",
            "می\u{200c}خواهم",
            "❤\u{fe0f}",
            "🏳\u{fe0f}\u{200d}🌈",
            "👩\u{200d}🚀",
            "1\u{fe0f}\u{20e3}",
            "",
        ] {
            assert_eq!(clean(text), text);
        }
        for hidden in "\u{200e}\u{2066}\u{2069}\u{feff}\u{e0041}\u{2029}\u{7}\u{85}".chars() {
            assert_eq!(clean(&format!("a{hidden}b")), "ab", "{hidden:?}");
        }
        for (text, shown) in [
            (" \u{ad}\u{3000}", "(unprintable)"),
            ("\u{200d}", "(unprintable)"),
            ("\u{fe0f}", "(unprintable)"),
            (" bob\u{a0}", "bob"),
            ("bob\u{200d}", "bob"),
            ("b\u{fe0f}ob", "bob"),
            ("b\u{200c} ob", "b ob"),
            ("\u{200d}b\u{200c}\u{200d}ob", "b\u{200d}ob"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }
}
