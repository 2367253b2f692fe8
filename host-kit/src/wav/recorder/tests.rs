use super::*;
use std::{fs, time::Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn samples(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap();
    reader.samples::<i16>().map(Result::unwrap).collect()
}

fn ramp(count: usize) -> Vec<i16> {
    (0..count)
        .map(|n| (n * 7_919 % 65_536) as u16 as i16)
        .collect()
}

fn wait_for_notice(recorder: &mut Recorder) -> RecordingNotice {
    let start = Instant::now();
    loop {
        if let Some(notice) = recorder.next_notice() {
            return notice;
        }
        assert!(start.elapsed() < PATIENCE, "no notice came");
        recorder.write(&[1; 320]);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_sample_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heard.wav");
    let mut recorder = Recorder::open(&path).unwrap();
    recorder.begin();
    let all = ramp(100_000);
    all.chunks(320).for_each(|frame| recorder.write(frame));
    recorder.finish(PATIENCE).unwrap();
    assert_eq!(samples(&path), all);
    assert_eq!(recorder.next_notice(), None);
}

#[test]
fn a_killed_process_leaves_a_file_that_plays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("killed.wav");
    let mut recorder = Recorder::open(&path).unwrap();
    recorder.begin();
    (0..60).for_each(|_| recorder.write(&[7; 320]));
    let start = Instant::now();
    // The file on disk is what a kill would leave: of 1.2 s at most half a second may be missing,
    // once the thread has run.
    while fs::metadata(&path).unwrap().len() < 44 + 50 * 640 {
        assert!(start.elapsed() < PATIENCE, "the thread writes nothing");
        thread::sleep(Duration::from_millis(5));
    }
    let copy = dir.path().join("copy.wav");
    loop {
        fs::copy(&path, &copy).unwrap();
        if samples(&copy).len() >= 25 * 320 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the header stays out of date");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_recording_that_never_begins_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.wav"), dir.path().join("new.wav"));
    fs::write(&old, b"precious").unwrap();
    drop(Recorder::open(&old).unwrap());
    drop(Recorder::open(&new).unwrap());
    assert_eq!(fs::read(&old).unwrap(), b"precious");
    assert!(!new.exists());
}

#[test]
fn a_file_that_cannot_be_created_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("no/such/dir.wav"), dir.path().to_owned()] {
        let error = Recorder::open(&path).err().expect("it cannot be made");
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        assert!(!error.contains("os error"), "{error}");
    }
}

#[test]
fn at_the_limit_it_goes_on_in_the_next_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("heard-2.wav"), b"precious").unwrap();
    let mut recorder = Recorder::open_limited(&path("heard.wav"), 40_000).unwrap();
    recorder.begin();
    let all = ramp(50_000);
    all.chunks(320).for_each(|frame| recorder.write(frame));
    recorder.finish(PATIENCE).unwrap();
    assert_eq!(fs::read(path("heard-2.wav")).unwrap(), b"precious");
    let pieces = ["heard.wav", "heard-3.wav", "heard-4.wav"].map(|name| samples(&path(name)));
    assert_eq!(pieces.concat(), all, "no sample is lost between two files");
    assert!(pieces.iter().all(|piece| piece.len() <= 20_000));
    let continued = |name| Some(RecordingNotice::Continued { path: path(name) });
    assert_eq!(recorder.next_notice(), continued("heard-3.wav"));
    assert_eq!(recorder.next_notice(), continued("heard-4.wav"));
    assert_eq!(recorder.next_notice(), None);
}

#[test]
fn the_second_file_is_numbered_2() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open_limited(&dir.path().join("heard.wav"), 40_000).unwrap();
    recorder.begin();
    let all = ramp(30_000);
    all.chunks(320).for_each(|frame| recorder.write(frame));
    recorder.finish(PATIENCE).unwrap();
    let path = dir.path().join("heard-2.wav");
    let second = samples(&path);
    assert_eq!(second, all[all.len() - second.len()..]);
    let continued = RecordingNotice::Continued { path };
    assert_eq!(recorder.next_notice(), Some(continued));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_recording_and_nothing_else() {
    let path = Path::new("/dev/full");
    let mut recorder = Recorder::open(path).unwrap();
    recorder.begin();
    let RecordingNotice::Stopped {
        path: file,
        problem,
    } = wait_for_notice(&mut recorder)
    else {
        panic!("something else happened");
    };
    assert_eq!(file, path);
    assert!(
        problem.contains("no space left") && !problem.contains("os error"),
        "{problem}"
    );
    // More than may wait for a disk. It is discarded, and nothing blocks.
    (0..200).for_each(|_| recorder.write(&[1; 16_000]));
    assert_eq!(recorder.next_notice(), None);
    recorder.finish(PATIENCE).unwrap();
    assert_eq!(recorder.next_notice(), None);
}

#[cfg(unix)]
#[test]
fn a_hung_disk_costs_only_the_sound_that_does_not_fit() {
    // Simulated by a pipe whose reader does not read.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let error = Recorder::open(&path).err().expect("nobody reads the pipe");
    assert!(error.contains("pipe that nobody reads"), "{error}");
    let reader = {
        let path = path.clone();
        thread::spawn(move || fs::File::open(path).unwrap())
    };
    let mut recorder = Recorder::open(&path).unwrap();
    recorder.begin();
    let mut reader = reader.join().unwrap();
    // 40 s: a pipe holds 2 s, and 30 s wait.
    (0..40 * 50).for_each(|_| recorder.write(&[9; 320]));
    let drain = thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut bytes).map(|_| bytes)
    });
    // The thread may have made room for some of it in between, so the loss is reported in parts.
    let mut lost_ms = 0;
    while lost_ms < 1_000 {
        let RecordingNotice::Lost { ms } = wait_for_notice(&mut recorder) else {
            panic!("something else happened");
        };
        lost_ms += ms;
    }
    assert!(lost_ms <= 11_000, "{lost_ms} ms");
    let drained = Instant::now();
    while recorder.missing > 0 {
        assert!(drained.elapsed() < Duration::from_secs(20), "not taken");
        recorder.fill_gap();
        thread::sleep(Duration::from_millis(5));
    }
    recorder.finish(PATIENCE).unwrap();
    while let Some(RecordingNotice::Lost { ms }) = recorder.next_notice() {
        lost_ms += ms;
    }
    drop(recorder);
    let bytes = drain.join().unwrap().unwrap();
    assert!(
        bytes.len() >= 44 + 40 * 32_000,
        "as long as the time that went by"
    );
    let silent = bytes[44..]
        .chunks_exact(2)
        .filter(|sample| *sample == [0; 2]);
    assert_eq!(silent.count() as u64, lost_ms * 16, "silence in its place");
}

#[test]
fn losses_add_up_until_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(&dir.path().join("heard.wav")).unwrap();
    for (gaps, ms) in [([16_000, 320], 1_020), ([15, 17], 2)] {
        for samples in gaps {
            recorder.gap += samples;
            recorder.fill_gap();
        }
        let lost = RecordingNotice::Lost { ms };
        assert_eq!(recorder.next_notice(), Some(lost));
        assert_eq!(recorder.next_notice(), None);
    }
    for (samples, lost) in [
        (15, None),
        (2, Some(RecordingNotice::Lost { ms: 1 })),
        (15, Some(RecordingNotice::Lost { ms: 1 })),
    ] {
        recorder.gap += samples;
        recorder.fill_gap();
        assert_eq!(
            recorder.next_notice(),
            lost,
            "reported in whole milliseconds"
        );
    }
    (recorder.missing, recorder.gap) = (WAITING_SAMPLES as u64 + 1, 16_000);
    recorder.fill_gap();
    assert_eq!(recorder.next_notice(), None, "not while the gap lasts");
    (recorder.missing, recorder.lost, recorder.gap) = (0, 160, 160);
    recorder.begin();
    recorder.finish(PATIENCE).unwrap();
    assert_eq!(
        recorder.next_notice(),
        Some(RecordingNotice::Lost { ms: 20 })
    );
}

#[cfg(unix)]
#[test]
fn a_loss_at_the_end_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let mut mkfifo = std::process::Command::new("mkfifo");
    assert!(mkfifo.arg(&path).status().unwrap().success());
    let reader = {
        let path = path.clone();
        thread::spawn(move || fs::File::open(path).unwrap())
    };
    let mut recorder = Recorder::open(&path).unwrap();
    recorder.begin();
    let reader = reader.join().unwrap();
    // 40 s: a pipe holds 2 s, and 30 s wait.
    (0..40 * 50).for_each(|_| recorder.write(&[9; 320]));
    // The recording stops, and the sound that waits for it is discarded.
    drop(reader);
    recorder.finish(PATIENCE).unwrap();
    let notices: Vec<RecordingNotice> = std::iter::from_fn(|| recorder.next_notice()).collect();
    let [
        RecordingNotice::Lost { ms },
        RecordingNotice::Stopped { .. },
    ] = notices[..]
    else {
        panic!("{notices:?}");
    };
    assert!((1_000..=11_000).contains(&ms), "{ms} ms");
}
