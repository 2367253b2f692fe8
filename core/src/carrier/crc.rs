//! The CRC-32 that protects a packet on a stream.

/// Bytes of the CRC-32 after each packet, little-endian.
pub(crate) const CRC_BYTES: usize = 4;

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

/// The same, half a byte at a time: a table of 64 bytes where bytes need 1 KiB, at 3 instructions
/// more a byte.
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
#[rustfmt::skip]
static NIBBLES: [u32; 16] = [
    0x0000_0000, 0x1db7_1064, 0x3b6e_20c8, 0x26d9_30ac,
    0x76dc_4190, 0x6b6b_51f4, 0x4db2_6158, 0x5005_713c,
    0xedb8_8320, 0xf00f_9344, 0xd6d6_a3e8, 0xcb61_b38c,
    0x9b64_c2b0, 0x86d3_d2d4, 0xa00a_e278, 0xbdbd_f21c,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    }
}
