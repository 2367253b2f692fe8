//! A fuzz input as a sequence of operations: numbers, and bytes after their count.

/// The rest of the input.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Takes the next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Takes the next byte, or 0 after the end.
    pub fn number(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    /// Takes a byte `n`, then `n` bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.number()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}
