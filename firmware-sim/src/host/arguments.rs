//! A flag that both programs have.

/// Checks the path of a serial port.
///
/// # Errors
/// A sentence that says what to write instead of a URL or nothing.
pub fn parse_serial(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err(
            "this is a URL; --serial takes the path of a serial port, such as /dev/ttyUSB0, and the \
             bridge's --server takes HOST[:PORT]"
                .to_owned(),
        );
    }
    if text.is_empty() {
        return Err("give the path of a serial port, such as /dev/ttyUSB0".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_refused_with_a_hint() {
        for url in ["http://localhost", "tcp://box:8255"] {
            let serial = parse_serial(url).unwrap_err();
            assert!(serial.contains("such as /dev/ttyUSB0"), "{serial}");
        }
        assert_eq!(parse_serial("pty").as_deref(), Ok("pty"));
        assert!(parse_serial("").is_err());
    }
}
