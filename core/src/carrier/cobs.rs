//! COBS over whole packets, in place: what a server does for every packet of every participant.
//!
//! The bytes move once, by the one that COBS puts in front of them; after that only the places of
//! zeros change. (Encoders and decoders that moved each byte, or each run between two zeros, took a
//! quarter to a third of the server's own time: quiet PCM16 has a zero in every third byte.)

/// The longest run without a zero that one code byte announces (Cheshire and Baker 1999, table 1).
const RUN_MAX: usize = 254;

/// Where the first zero is.
pub(crate) fn find_zero(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(0, bytes)
}

/// The lowest and the highest bit of each byte of a word.
#[cfg(target_pointer_width = "64")]
const LOW_BITS: u64 = u64::from_le_bytes([0x01; 8]);
#[cfg(target_pointer_width = "64")]
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// A microcontroller sends ADPCM, which has a zero in 256 bytes.
#[cfg(not(target_pointer_width = "64"))]
use find_zero as find_near_zero;

/// Where the first zero is, if it is likely to be near: what calling a library costs is not worth a
/// few bytes.
#[cfg(target_pointer_width = "64")]
fn find_near_zero(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set stands in the first zero byte (Mycroft 1987).
        let zeros = word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS;
        if zeros != 0 {
            return Some(number * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|&byte| byte == 0)?;
    Some(words.len() * 8 + place)
}

/// Encodes the first `len` bytes of `buffer` in place, and ends them with a zero. Gives the bytes
/// written, or `None` if they do not fit.
pub(crate) fn cobs_encode(buffer: &mut [u8], len: usize) -> Option<usize> {
    let mut end = len + 1;
    if end > buffer.len() {
        return None;
    }
    buffer.copy_within(..len, 1);
    // Where the code byte of the run stands that `at` is in: in front, where a zero was, or behind
    // a full run.
    let (mut code, mut at) = (0, 1);
    while at < end {
        let full = code + 1 + RUN_MAX;
        let stop = end.min(full);
        let next = match find_near_zero(&buffer[at..stop]) {
            Some(distance) => at + distance,
            None if stop < full => break,
            None if end == buffer.len() => return None,
            None => {
                buffer.copy_within(full..end, full + 1);
                end += 1;
                full
            }
        };
        buffer[code] = (next - code) as u8;
        (code, at) = (next, next + 1);
    }
    buffer[code] = (end - code) as u8;
    *buffer.get_mut(end)? = 0;
    Some(end + 1)
}

/// Decodes `buffer` (without the zero that ends it) into its start; gives the bytes written, or
/// `None` if it is not COBS.
pub(crate) fn cobs_decode(buffer: &mut [u8]) -> Option<usize> {
    let Some(&first) = buffer.first() else {
        return Some(0);
    };
    let (mut code, mut run_start, mut end) = (first, 1, buffer.len());
    loop {
        let run = usize::from(code).checked_sub(1)?;
        let next = run_start + run;
        if next >= end {
            // The last run ends with the buffer.
            return (next == end).then(|| {
                buffer.copy_within(1..end, 0);
                end - 1
            });
        }
        code = buffer[next];
        if run < RUN_MAX {
            buffer[next] = 0;
            run_start = next + 1;
        } else {
            // The code byte behind a full run stands for nothing.
            buffer.copy_within(next + 1..end, next);
            end -= 1;
            run_start = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn encoded(data: &[u8]) -> Vec<u8> {
        let mut buffer = std::vec![0; data.len() + data.len() / RUN_MAX + 2];
        buffer[..data.len()].copy_from_slice(data);
        let len = cobs_encode(&mut buffer, data.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    /// What the library makes of it, with the zero that ends it. It leaves out the empty run at the
    /// end of a packet that ends with 254 bytes without a zero; both decode to the same.
    fn reference(data: &[u8]) -> Vec<u8> {
        let mut buffer = std::vec![0; data.len() + data.len() / RUN_MAX + 2];
        let len = cobs::encode(data, &mut buffer);
        buffer.truncate(len);
        let last_run = data.rsplit(|&byte| byte == 0).next().map_or(0, <[u8]>::len);
        if last_run > 0 && last_run % RUN_MAX == 0 {
            buffer.push(1);
        }
        buffer.push(0);
        buffer
    }

    fn assert_same(data: &[u8]) {
        let mut bytes = encoded(data);
        assert_eq!(bytes, reference(data));
        for (room, fits) in [(bytes.len(), true), (bytes.len() - 1, false)] {
            let mut exact = std::vec![0; room];
            exact[..data.len()].copy_from_slice(data);
            assert_eq!(
                cobs_encode(&mut exact, data.len()).is_some(),
                fits,
                "{room} bytes of room"
            );
        }
        bytes.pop();
        let len = cobs_decode(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], data);
    }

    #[test]
    fn runs_of_every_length_are_encoded_as_the_library_does_and_come_back() {
        for len in 1..1_030 {
            assert_same(&std::vec![7; len]);
            assert_same(&std::vec![0; len]);
            let mut one_zero = std::vec![7; len];
            for zero in [0, len / 2, len - 1] {
                one_zero[zero] = 0;
                assert_same(&one_zero);
            }
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_encoded_as_the_library_does(data in proptest::collection::vec(prop_oneof![3 => Just(0u8), 5 => any::<u8>()], 1..800)) {
            assert_same(&data);
        }

        #[test]
        fn any_bytes_decode_as_the_library_does(mut bytes in proptest::collection::vec(1u8.., 1..800)) {
            let mut theirs = bytes.clone();
            let expected = cobs::decode_in_place(&mut theirs).ok().map(|len| theirs[..len].to_vec());
            let ours = cobs_decode(&mut bytes).map(|len| bytes[..len].to_vec());
            prop_assert_eq!(ours, expected);
        }
    }
}
