//! How the fields of a packet are written, by hand and as docs/PROTOCOL.md has them. Neither end
//! fails in the middle: what was wrong is asked once, at the end, which keeps the code small.

use heapless::Vec;

use super::EncodeError;
use crate::seq::Seq;

/// Takes fields off the front of a packet. Behind the first mistake every field is empty.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reader<'a> {
    rest: &'a [u8],
    is_malformed: bool,
}

/// Puts fields behind one another.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    is_too_long: bool,
}

/// What stands in packets.
pub trait Field<'a>: Sized {
    /// Takes it off the front.
    fn read(from: &mut Reader<'a>) -> Self;
    /// Puts it at the end.
    fn write(&self, to: &mut Writer<'_>);
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            is_malformed: false,
        }
    }

    /// Returns whether all that was read was there, and as it should be.
    pub(super) const fn is_good(&self) -> bool {
        !self.is_malformed
    }

    pub(super) fn require(&mut self, condition: bool) {
        if !condition {
            self.is_malformed = true;
            self.rest = &[];
        }
    }

    #[inline(never)]
    fn take(&mut self, count: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            self.require(false);
            return &[];
        };
        self.rest = rest;
        taken
    }

    /// Zeros if there is not as much.
    #[inline(never)]
    fn fill(&mut self, place: &mut [u8]) {
        let taken = self.take(place.len());
        if taken.len() == place.len() {
            place.copy_from_slice(taken);
        }
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A varint of up to `max`. Only its shortest form is good.
    #[inline(never)]
    fn varint(&mut self, max: u32) -> u32 {
        let mut value = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let is_overlong = byte == 0 && shift > 0;
                // Of the fifth byte four bits are left.
                let is_beyond = shift == 28 && byte > 0x0f;
                self.require(!is_overlong && !is_beyond && value <= max);
                return value;
            }
        }
        self.require(false);
        0
    }

    #[inline(never)]
    fn bytes(&mut self) -> &'a [u8] {
        let count = u16::read(self);
        self.take(count.into())
    }

    /// Reads what stands behind its length in bytes. Those after the last known field are ignored.
    pub(super) fn sized<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let mut inner = Self::new(self.bytes());
        let value = read(&mut inner);
        self.require(!inner.is_malformed);
        value
    }
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            len: 0,
            is_too_long: false,
        }
    }

    /// Returns how many bytes were written.
    pub(super) fn finish(self) -> Result<usize, EncodeError> {
        if self.is_too_long {
            return Err(EncodeError);
        }
        Ok(self.len)
    }

    #[inline(never)]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_too_long = true,
        }
    }

    #[inline(never)]
    fn varint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    /// Writes what `fill` writes behind its length, which is below 128.
    pub(super) fn sized(&mut self, fill: impl FnOnce(&mut Self)) {
        let at = self.len;
        self.put(&[0]);
        fill(self);
        let len = self.len.saturating_sub(at + 1);
        match self.out.get_mut(at) {
            Some(place) if len < 0x80 => *place = len as u8,
            _ => self.is_too_long = true,
        }
    }
}

impl<'a> Field<'a> for u8 {
    fn read(from: &mut Reader<'a>) -> Self {
        from.byte()
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put(&[*self]);
    }
}

macro_rules! varints {
    ($($number:ty),*) => {$(
        impl<'a> Field<'a> for $number {
            fn read(from: &mut Reader<'a>) -> Self {
                from.varint(Self::MAX.into()) as Self
            }

            fn write(&self, to: &mut Writer<'_>) {
                to.varint((*self).into());
            }
        }
    )*};
}

varints!(u16, u32);

impl<'a> Field<'a> for bool {
    fn read(from: &mut Reader<'a>) -> Self {
        let byte = u8::read(from);
        from.require(byte <= 1);
        byte == 1
    }

    fn write(&self, to: &mut Writer<'_>) {
        u8::from(*self).write(to);
    }
}

impl<'a> Field<'a> for Option<Seq> {
    fn read(from: &mut Reader<'a>) -> Self {
        bool::read(from).then(|| Seq(u16::from_le_bytes(Field::read(from))))
    }

    fn write(&self, to: &mut Writer<'_>) {
        self.is_some().write(to);
        if let Some(seq) = self {
            to.put(&seq.0.to_le_bytes());
        }
    }
}

/// As they are, without a length.
impl<'a, const N: usize> Field<'a> for [u8; N] {
    fn read(from: &mut Reader<'a>) -> Self {
        let mut array = [0; N];
        from.fill(&mut array);
        array
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put(self);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn read(from: &mut Reader<'a>) -> Self {
        from.bytes()
    }

    fn write(&self, to: &mut Writer<'_>) {
        let len = u16::try_from(self.len());
        to.is_too_long |= len.is_err();
        to.varint(len.unwrap_or(0).into());
        to.put(self);
    }
}

/// So many bytes, or none. Another length reads as none.
impl<'a, const N: usize> Field<'a> for Option<[u8; N]> {
    fn read(from: &mut Reader<'a>) -> Self {
        from.bytes().try_into().ok()
    }

    fn write(&self, to: &mut Writer<'_>) {
        self.as_ref().map_or(&[][..], |bytes| bytes).write(to);
    }
}

impl<'a> Field<'a> for &'a str {
    fn read(from: &mut Reader<'a>) -> Self {
        let text = core::str::from_utf8(from.bytes());
        from.require(text.is_ok());
        text.unwrap_or_default()
    }

    fn write(&self, to: &mut Writer<'_>) {
        self.as_bytes().write(to);
    }
}

impl<'a, T: Field<'a>, const N: usize> Field<'a> for Vec<T, N> {
    fn read(from: &mut Reader<'a>) -> Self {
        let count = usize::from(u16::read(from));
        from.require(count <= N);
        (0..count.min(N)).map(|_| T::read(from)).collect()
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.varint(self.len() as u32);
        for one in self {
            one.write(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a, T: Field<'a>>(bytes: &'a [u8]) -> Option<T> {
        let mut reader = Reader::new(bytes);
        let value = T::read(&mut reader);
        reader.is_good().then_some(value)
    }

    #[test]
    fn every_varint_is_read_as_it_is_written_and_in_no_other_form() {
        let corners = (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit]);
        for value in corners.chain([u32::MAX]) {
            let mut out = [0; 6];
            let mut writer = Writer::new(&mut out);
            value.write(&mut writer);
            let len = writer.finish().unwrap();
            assert_eq!(
                len,
                (32 - value.leading_zeros()).div_ceil(7).max(1) as usize
            );
            assert_eq!(read::<u32>(&out[..len]), Some(value));
            assert_eq!(read::<u16>(&out[..len]), u16::try_from(value).ok());
            assert_eq!(read::<u32>(&out[..len - 1]), None, "cut short");
            // The same with a byte more.
            out[len - 1] |= 0x80;
            assert_eq!(read::<u32>(&out[..=len]), None);
        }
    }

    #[test]
    fn nothing_behind_a_mistake_is_read() {
        let mut reader = Reader::new(&[2, 7, 7]);
        assert!(!bool::read(&mut reader));
        assert_eq!((u8::read(&mut reader), u32::read(&mut reader)), (0, 0));
        assert!(!reader.is_good());
    }

    #[test]
    fn lists_and_bytes_of_every_length_stay_within_the_packet() {
        assert_eq!(read::<&[u8]>(&[2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(read::<&[u8]>(&[4, 7, 8, 9]), None);
        assert_eq!(read::<&[u8]>(&[0xff, 0xff, 3]), None);
        assert_eq!(read::<Vec<u8, 2>>(&[2, 7, 8]).as_deref(), Some(&[7, 8][..]));
        assert_eq!(read::<Vec<u8, 2>>(&[3, 7, 8, 9]), None, "too many");
        assert_eq!(read::<Vec<u8, 2>>(&[2, 7]), None, "too few");
        assert_eq!(read::<Option<[u8; 2]>>(&[2, 7, 8]), Some(Some([7, 8])));
        assert_eq!(
            read::<Option<[u8; 2]>>(&[1, 7]),
            Some(None),
            "another length"
        );
        assert_eq!(read::<Option<[u8; 2]>>(&[2, 7]), None);
        assert_eq!(read::<&str>(&[2, 0xc3, 0x28]), None);
    }

    #[test]
    fn what_does_not_fit_is_told_at_the_end() {
        let mut out = [0; 4];
        let mut writer = Writer::new(&mut out);
        [1, 2, 3].write(&mut writer);
        (&[4, 5][..]).write(&mut writer);
        assert_eq!(writer.finish(), Err(EncodeError));
    }
}
