//! Any bytes as a sound file, regular or from a pipe: no panic, no hang, nothing unbounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use std::path::Path;
use talkspurt_host_kit::channels::InputChannel;
use talkspurt_host_kit::wav::WavReader;

fuzz_target!(|data: &[u8]| {
    for file_bytes in [None, Some(data.len() as u64)] {
        let bytes = Cursor::new(data.to_vec());
        let path = Path::new("fuzzed");
        let Ok(mut reader) = WavReader::from_bytes(bytes, file_bytes, path, InputChannel::Voice)
        else {
            continue;
        };
        let (mut piece, mut total) = ([0; 4_096], 0);
        loop {
            let count = reader.read(&mut piece);
            total += count;
            if count < piece.len() {
                break;
            }
        }
        // At the lowest rate and with the densest coding a byte is 16 samples, times what FLAC
        // packs into a constant frame.
        assert!(total <= (data.len() + 4_096) * 16 * 65_536);
    }
});
