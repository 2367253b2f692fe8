//! COBS and CRC over whole packets, in place: what a server does for every packet of every participant.
//!
//! A run between two zeros is moved at once. (Byte-wise encoders and decoders took a quarter of the server's own time for PCM16.)

/// Bytes of the CRC-32 after each packet, little-endian.
pub(crate) const CRC_BYTES: usize = 4;

/// The longest run without a zero that one code byte announces (Cheshire and Baker 1999, table 1).
const RUN_MAX: usize = 254;

/// The CRC-32 (ISO-HDLC, as in Ethernet) of a packet. A host looks up 16 bytes at a time.
#[cfg(target_pointer_width = "64")]
pub(crate) fn crc32(packet: &[u8]) -> u32 {
    use crc::{CRC_32_ISO_HDLC, Crc, Table};
    // 16 KiB of tables.
    static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(packet)
}

/// The same on a microcontroller.
#[cfg(not(target_pointer_width = "64"))]
pub(crate) use crc32_by_nibbles as crc32;

/// The same, half a byte at a time: a table of 64 bytes where bytes need 1 KiB, at 3 instructions more a byte.
#[cfg(any(test, not(target_pointer_width = "64")))]
pub(crate) fn crc32_by_nibbles(packet: &[u8]) -> u32 {
    let crc = packet.iter().fold(u32::MAX, |crc, &byte| {
        let crc = crc ^ u32::from(byte);
        let crc = NIBBLES[crc as usize & 15] ^ (crc >> 4);
        NIBBLES[crc as usize & 15] ^ (crc >> 4)
    });
    !crc
}

/// What four bits make of the polynomial of CRC-32 (IEEE 802.3, section 3.2.9), its bits reversed.
#[cfg(any(test, not(target_pointer_width = "64")))]
static NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut crc = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = (crc >> 1) ^ (crc & 1) * 0xedb8_8320;
            bit += 1;
        }
        table[nibble] = crc;
        nibble += 1;
    }
    table
};

/// Where the first zero is.
pub(crate) fn find_zero(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(0, bytes)
}

/// Encodes the first `len` bytes of `buffer` in place, and ends them with a zero. Gives the bytes written, or `None` if they do not fit.
pub(crate) fn cobs_encode(buffer: &mut [u8], len: usize) -> Option<usize> {
    // The bytes first move out of the way of the code bytes: one at the start, and one after each full run.
    let head = (1 + len / RUN_MAX + 1).min(buffer.len().checked_sub(len)?);
    buffer.copy_within(..len, head);
    let end = head + len;
    let (mut read, mut write) = (head, 0);
    loop {
        if write >= read {
            return None;
        }
        let limit = end.min(read + RUN_MAX);
        let run = find_zero(&buffer[read..limit]).unwrap_or(limit - read);
        buffer[write] = run as u8 + 1;
        buffer.copy_within(read..read + run, write + 1);
        write += 1 + run;
        read += run;
        if run < RUN_MAX {
            if read == end {
                break;
            }
            // The zero itself, for which the next code byte stands.
            read += 1;
        }
    }
    *buffer.get_mut(write)? = 0;
    Some(write + 1)
}

/// Decodes `buffer` (without the zero that ends it) into its start; gives the bytes written, or `None` if it is not COBS.
pub(crate) fn cobs_decode(buffer: &mut [u8]) -> Option<usize> {
    let (mut read, mut write) = (0, 0);
    while let Some(&code) = buffer.get(read) {
        let run = usize::from(code).checked_sub(1)?;
        let end = read + 1 + run;
        if end > buffer.len() {
            return None;
        }
        buffer.copy_within(read + 1..end, write);
        write += run;
        read = end;
        if run < RUN_MAX && read < buffer.len() {
            buffer[write] = 0;
            write += 1;
        }
    }
    Some(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postcard::ser_flavors::{Cobs, Flavor, Slice};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn encoded(data: &[u8]) -> Vec<u8> {
        let mut buffer = std::vec![0; data.len() + data.len() / RUN_MAX + 2];
        buffer[..data.len()].copy_from_slice(data);
        let len = cobs_encode(&mut buffer, data.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    /// What postcard makes of it. (The `cobs` crate's own `encode` leaves out the empty run at the end of a packet that ends with 254
    /// bytes without a zero; both decode to the same.)
    fn reference(data: &[u8]) -> Vec<u8> {
        let mut buffer = std::vec![0; data.len() + data.len() / RUN_MAX + 2];
        let mut flavor = Cobs::try_new(Slice::new(&mut buffer)).unwrap();
        flavor.try_extend(data).unwrap();
        flavor.finalize().unwrap().to_vec()
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

    #[test]
    fn the_crc_is_the_one_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32_by_nibbles(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn both_ways_to_the_crc_agree(data in proptest::collection::vec(any::<u8>(), 0..800)) {
            prop_assert_eq!(crc32(&data), crc32_by_nibbles(&data));
        }

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
