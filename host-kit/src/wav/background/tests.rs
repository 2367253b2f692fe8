use super::*;
use std::{fs, io::Write as _};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn ramp(count: usize) -> Vec<i16> {
    (0..count)
        .map(|n| (n * 7_919 % 65_535) as u16 as i16 | 1)
        .collect()
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let mut bytes =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3E\0\0\0\x7D\0\0\x02\0\x10\0data\0\0\0\0"
            .to_vec();
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

fn fifo(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

/// Returns every frame up to the end, and the number of missing frames.
fn frames(reader: &mut BackgroundReader) -> (Vec<i16>, usize) {
    let (mut heard, mut missing, mut frame) = (Vec::new(), 0, [0; 320]);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "the file does not end");
        match reader.read(&mut frame) {
            Captured::Frame => heard.extend_from_slice(&frame),
            Captured::Missing => {
                missing += 1;
                assert_eq!(frame, [0; 320]);
                thread::sleep(Duration::from_millis(1));
            }
            Captured::End => return (heard, missing),
        }
    }
}

#[test]
fn a_file_is_there_from_its_first_frame_to_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("says.wav");
    let all = ramp(5 * 16_000 + 100);
    fs::write(&path, wav(&all)).unwrap();
    let mut reader = BackgroundReader::open(&path, InputChannel::Voice).unwrap();
    // Read faster than in any session: not one frame may be missing.
    let (heard, missing) = frames(&mut reader);
    assert_eq!(missing, 0);
    assert_eq!(heard[..all.len()], all);
    assert_eq!(heard[all.len()..], [0; 220], "the last frame is padded");
    assert_eq!(reader.take_problem(), None);
}

#[test]
fn a_long_file_is_read_while_it_is_played() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.wav");
    let all = ramp(25 * 16_000);
    fs::write(&path, wav(&all)).unwrap();
    let mut reader = BackgroundReader::open(&path, InputChannel::Voice).unwrap();
    let (heard, _) = frames(&mut reader);
    assert_eq!(heard[..all.len()], all, "late frames are not lost");
}

#[test]
fn an_unplayable_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| BackgroundReader::open(path, InputChannel::Voice);
    let missing = open(&dir.path().join("missing.wav"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        missing.contains("missing.wav") && !missing.contains("os error"),
        "{missing}"
    );
    let path = dir.path().join("noise.wav");
    fs::write(&path, b"RIFF and nothing else").unwrap();
    assert!(open(&path).err().unwrap().to_string().contains("noise.wav"));
}

#[cfg(unix)]
#[test]
fn a_pipe_without_a_writer_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(&dir);
    let mut reader = BackgroundReader::open(&path, InputChannel::Voice).unwrap();
    let mut frame = [1; 320];
    assert_eq!(reader.read(&mut frame), Captured::Missing);
    assert_eq!(frame, [0; 320]);
    // A writer comes late, writes, stalls, goes on, and ends.
    let all = ramp(20_000);
    let (first, second) = all.split_at(5_000);
    let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(&wav(first)).unwrap();
    let start = Instant::now();
    let mut heard = Vec::new();
    while heard.len() < 4_160 {
        assert!(start.elapsed() < PATIENCE, "nothing comes");
        if reader.read(&mut frame) == Captured::Frame {
            heard.extend_from_slice(&frame);
        }
    }
    while reader.read(&mut frame) == Captured::Frame {
        heard.extend_from_slice(&frame);
    }
    assert!(heard.len() <= 5_000, "it stalls");
    let bytes: Vec<u8> = second
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let writing = thread::spawn(move || writer.write_all(&bytes));
    heard.extend(frames(&mut reader).0);
    writing.join().unwrap().unwrap();
    assert_eq!(
        heard[..all.len()],
        all,
        "all that was written is there, in order"
    );
}

#[cfg(unix)]
#[test]
fn nonsense_from_a_pipe_ends_the_sound_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(&dir);
    let mut reader = BackgroundReader::open(&path, InputChannel::Voice).unwrap();
    fs::write(&path, b"this is not a sound file").unwrap();
    assert_eq!(frames(&mut reader).0, [0; 0]);
    let problem = reader.take_problem().expect("it says why");
    assert!(problem.contains("not a sound file"), "{problem}");
}
