//! Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999), in place.
//!
//! A zero ends a packet in a stream, so the packet itself must have none. Each group of up to 254 bytes without a zero is preceded
//! by a code: one more than its length. A code below 255 stands for a zero after its group, unless it is the last one.
//! In a group the bytes stay as they are, so a packet of up to 253 bytes is encoded by linking its zeros, without moving a byte:
//! on a Cortex-M that costs a tenth of copying it byte by byte.

use core::ops::Range;

/// The longest group, without its code.
const GROUP_MAX: usize = 254;

/// Codes that `len` bytes take at most: one, and one more after each full group.
pub(super) const fn codes_max(len: usize) -> usize {
    1 + len / GROUP_MAX
}

/// Encodes the bytes at `data` to the start of `buffer`; gives their encoded length.
///
/// At least [`codes_max`] bytes must lie before them: that much further forward is where writing can never overtake reading.
pub(super) fn encode(buffer: &mut [u8], data: Range<usize>) -> usize {
    assert!(data.start >= codes_max(data.len()), "no room for the codes");
    if data.start == 1 {
        return link_zeros(&mut buffer[..data.end]);
    }
    let (mut code_at, mut write) = (0, 1);
    for read in data {
        let byte = buffer[read];
        if byte != 0 {
            buffer[write] = byte;
            write += 1;
        }
        if byte == 0 || write - code_at > GROUP_MAX {
            buffer[code_at] = (write - code_at) as u8;
            code_at = write;
            write += 1;
        }
    }
    buffer[code_at] = (write - code_at) as u8;
    write
}

/// Makes each zero the code of the group behind it; the first byte is the first group's.
fn link_zeros(buffer: &mut [u8]) -> usize {
    let mut code = 0_u8;
    // From the end, so that a code is known when its place comes: a packet of one group and its code has at most 254 bytes.
    for (distance, byte) in (1_u8..).zip(buffer.iter_mut().skip(1).rev()) {
        if *byte == 0 {
            *byte = distance - code;
            code = distance;
        }
    }
    buffer[0] = buffer.len() as u8 - code;
    buffer.len()
}

/// Decodes `buffer`, which is what stood before the zero that ends a packet. The result begins at its second byte: gives its
/// place, or `None` if this was never encoded.
pub(crate) fn decode(buffer: &mut [u8]) -> Option<Range<usize>> {
    let (mut code_at, mut write) = (0, 1);
    let mut code = *buffer.first()?;
    loop {
        let next = code_at + usize::from(code);
        if code == 0 || next > buffer.len() {
            return None;
        }
        if write != code_at + 1 {
            buffer.copy_within(code_at + 1..next, write);
        }
        write += next - code_at - 1;
        if next == buffer.len() {
            return Some(1..write);
        }
        let ends_with_zero = usize::from(code) <= GROUP_MAX;
        (code_at, code) = (next, buffer[next]);
        if ends_with_zero {
            buffer[write] = 0;
            write += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(data: &[u8]) -> std::vec::Vec<u8> {
        let start = codes_max(data.len());
        let mut buffer = std::vec![0xAA; start];
        buffer.extend(data);
        let len = encode(&mut buffer, start..start + data.len());
        buffer.truncate(len);
        buffer
    }

    fn decoded(bytes: &[u8]) -> Option<std::vec::Vec<u8>> {
        let mut buffer = bytes.to_vec();
        decode(&mut buffer).map(|place| buffer[place].to_vec())
    }

    /// Mostly bytes that make long groups, with some zeros, around the lengths where a group is full.
    fn data() -> impl Strategy<Value = std::vec::Vec<u8>> {
        let byte = prop_oneof![1 => Just(0_u8), 60 => any::<u8>(), 200 => 1..=255_u8];
        let len = prop_oneof![0..20_usize, 240..270_usize, 500..520_usize, 700..720_usize];
        len.prop_flat_map(move |len| prop::collection::vec(byte.clone(), len))
    }

    #[test]
    fn examples_of_the_paper() {
        assert_eq!(encoded(&[]), [1]);
        assert_eq!(encoded(&[0]), [1, 1]);
        assert_eq!(encoded(&[0x11, 0x22, 0, 0x33]), [3, 0x11, 0x22, 2, 0x33]);
        assert_eq!(encoded(&[0x11, 0, 0, 0]), [2, 0x11, 1, 1, 1]);
        for bad in [&[][..], &[0], &[2], &[3, 1], &[2, 1, 0], &[1, 5, 1]] {
            assert_eq!(decoded(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn full_groups_are_as_the_library_writes_them() {
        for len in [253, 254, 255, 508, 509] {
            let data = std::vec![7_u8; len];
            assert_eq!(encoded(&data), cobs::encode_vec(&data), "{len}");
            assert_eq!(decoded(&encoded(&data)), Some(data));
        }
    }

    proptest! {
        #[test]
        fn it_writes_what_the_library_writes(data in data()) {
            let ours = encoded(&data);
            prop_assert!(!ours.contains(&0));
            prop_assert!(ours.len() <= data.len() + codes_max(data.len()));
            prop_assert_eq!(&ours, &cobs::encode_vec(&data));
            prop_assert_eq!(decoded(&ours), Some(data));
        }

        #[test]
        fn it_reads_what_the_library_reads(bytes in data()) {
            let mut theirs = bytes.clone();
            let theirs = cobs::decode_in_place(&mut theirs).ok().map(|len| theirs[..len].to_vec());
            let ours = decoded(&bytes);
            if !bytes.is_empty() && !bytes.contains(&0) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
