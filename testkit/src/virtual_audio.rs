//! Sound cards without hardware: one PulseAudio daemon, private to a test, without dbus or udev.
//!
//! Every client `x` gets its own microphone `x_mic` and speaker `x_spk`. What is played into the
//! sink `x_feed` comes out of the microphone; the monitor of `x_spk` hears what the client plays.
//! Programs reach them through ALSA's `default` device (the pulse plugin), each routed by the
//! variables of [`VirtualAudio::environment`].
//!
//! Needs Debian's `pulseaudio`, `pulseaudio-utils` and `libasound2-plugins` (`cargo xtask setup`
//! installs them).

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::Process;

/// The cards' rate, like that of real ones. Clients at 16 kHz have to resample.
pub const CARD_RATE_HZ: u32 = 48_000;

/// A sound server with a card for each client. Ends when dropped.
pub struct VirtualAudio {
    directory: PathBuf,
    daemon: Process,
}

impl VirtualAudio {
    /// Starts the sound server in `directory`, with cards for `clients` (letters and digits).
    ///
    /// The first client's cards are the default ones. Unix socket paths are limited, so `directory`
    /// should be short.
    pub fn start(directory: &Path, clients: &[&str]) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for each in [
            directory.to_owned(),
            directory.join("pulse"),
            directory.join("state"),
        ] {
            builder
                .create(&each)
                .with_context(|| format!("cannot make {}", each.display()))?;
        }
        let directory = directory.canonicalize()?;
        fs::write(directory.join("daemon.pa"), script(&directory, clients))?;
        let daemon = start_daemon(&directory)?;
        Ok(Self { directory, daemon })
    }

    /// Returns the environment variables that make a client's program use its own cards.
    pub fn environment(&self, client: &str) -> [(&'static str, String); 4] {
        [
            ("PULSE_SERVER", server(&self.directory)),
            ("PULSE_SOURCE", format!("{client}_mic")),
            ("PULSE_SINK", format!("{client}_spk")),
            // Keeps a user's own client.conf and cookie out.
            ("XDG_RUNTIME_DIR", self.directory.display().to_string()),
        ]
    }

    /// Plays a WAV file into a client's microphone in real time. The process ends with the file.
    pub fn speak_into(&self, client: &str, wav: &Path) -> Result<Process> {
        let mut player = Command::new("paplay");
        player
            .env("PULSE_SERVER", server(&self.directory))
            .arg("--device")
            .arg(format!("{client}_feed"))
            .arg(wav);
        Process::spawn("paplay", &mut player)
    }

    /// Records what a client's speaker plays into `wav` (16 kHz mono) until the process is
    /// terminated.
    pub fn record_speaker(&self, client: &str, wav: &Path) -> Result<Process> {
        let mut recorder = Command::new("parec");
        recorder
            .env("PULSE_SERVER", server(&self.directory))
            .arg("--device")
            .arg(format!("{client}_spk.monitor"))
            .args([
                "--file-format=wav",
                "--format=s16le",
                "--rate=16000",
                "--channels=1",
                "--latency-msec=20",
            ])
            .arg(wav);
        Process::spawn("parec", &mut recorder)
    }

    /// Kills the sound server, as in a crash: every card is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()?;
        self.daemon.wait(Duration::from_secs(10)).map(drop)
    }

    /// Freezes the sound server: it keeps its connections but no longer answers.
    pub fn freeze(&self) -> Result<()> {
        self.daemon.signal(Signal::STOP)
    }

    /// Starts the sound server again with the same cards, after [`VirtualAudio::kill`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        // A killed server leaves its socket, which the next one would mistake for a running
        // server's.
        let _ = fs::remove_file(self.directory.join("pulse/native"));
        self.daemon = start_daemon(&self.directory)?;
        Ok(())
    }
}

fn server(directory: &Path) -> String {
    format!("unix:{}/pulse/native", directory.display())
}

/// The sound server's start script: its socket and its cards.
fn script(directory: &Path, clients: &[&str]) -> String {
    let mut lines = vec![
        ".fail".to_owned(),
        format!(
            "load-module module-native-protocol-unix auth-anonymous=1 socket={}/pulse/native",
            directory.display()
        ),
    ];
    // A null sink that rewinds loses samples when the machine is busy.
    let card = format!("format=s16le rate={CARD_RATE_HZ} channels=1 norewinds=1");
    for client in clients {
        lines.push(format!(
            "load-module module-null-sink sink_name={client}_spk {card}"
        ));
        lines.push(format!(
            "load-module module-null-sink sink_name={client}_feed {card}"
        ));
        lines.push(format!(
            "load-module module-remap-source source_name={client}_mic master={client}_feed.monitor"
        ));
    }
    if let Some(first) = clients.first() {
        lines.push(format!("set-default-sink {first}_spk"));
        lines.push(format!("set-default-source {first}_mic"));
    }
    lines.join("\n") + "\n"
}

fn start_daemon(directory: &Path) -> Result<Process> {
    const START_LIMIT: Duration = Duration::from_secs(20);
    let log = directory.join("daemon.log");
    let mut command = Command::new("pulseaudio");
    command
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HOME", directory)
        .env("XDG_RUNTIME_DIR", directory)
        .env("PULSE_RUNTIME_PATH", directory.join("pulse"))
        .env("PULSE_STATE_PATH", directory.join("state"))
        .arg("-n")
        .arg(format!("--file={}", directory.join("daemon.pa").display()))
        .args([
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=yes",
        ])
        .args(["--realtime=yes", "--high-priority=no"])
        .arg(format!("--log-target=file:{}", log.display()));
    let daemon = Process::spawn("pulseaudio", &mut command)
        .context("`cargo xtask setup` installs pulseaudio")?;
    let started = Instant::now();
    while !answers(directory) {
        if !daemon.is_running()? || started.elapsed() > START_LIMIT {
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("pulseaudio does not start; its log:\n{log}{}", daemon.log());
        }
        thread::sleep(Duration::from_millis(50));
    }
    // Real-time scheduling keeps the cards' clock steady on a busy machine. It is set after the
    // start, because the daemon resets its own scheduling. If it is not allowed the cards still
    // work.
    let mut schedule = Command::new("chrt");
    schedule.args(["--rr", "--pid", "10", &daemon.id().to_string()]);
    let _ = schedule
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(daemon)
}

fn answers(directory: &Path) -> bool {
    let mut info = Command::new("pactl");
    info.arg("info")
        .env("PULSE_SERVER", server(directory))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    info.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{recording, wav};

    #[test]
    fn each_client_has_cards_of_its_own() {
        let script = script(Path::new("/x"), &["a", "b"]);
        for name in ["a_spk", "a_feed", "b_spk", "b_feed"] {
            assert!(
                script.contains(&format!("sink_name={name} ")),
                "{name} is missing in:\n{script}"
            );
        }
        assert!(script.contains("set-default-source a_mic"));
    }

    /// The cards carry sound, also after the sound server was killed and restarted.
    #[test]
    fn a_tone_is_heard_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut audio = VirtualAudio::start(&dir.path().join("pulse"), &["a"]).unwrap();
        audio.restart().unwrap();
        let (spoken, heard) = (dir.path().join("spoken.wav"), dir.path().join("heard.wav"));
        let sweep: Vec<i16> = (0..wav::samples(800))
            .map(|i| ((i * i) as f64 / 9e3).sin() * 9e3)
            .map(|s| s as i16)
            .collect();
        wav::write(&spoken, &sweep).unwrap();
        let mut recorder = audio.record_speaker("a", &heard).unwrap();
        thread::sleep(Duration::from_millis(500));
        let [server, _, sink, _] = audio.environment("a");
        let mut player = Command::new("paplay");
        player
            .arg("--device")
            .arg(sink.1)
            .env(server.0, server.1)
            .arg(&spoken);
        Process::spawn("paplay", &mut player)
            .unwrap()
            .wait_for_success(Duration::from_secs(20))
            .unwrap();
        thread::sleep(Duration::from_millis(500));
        recorder.terminate().unwrap();
        recorder.wait(Duration::from_secs(10)).unwrap();
        let found = recording::Recording::new(&wav::read(&heard).unwrap())
            .find(&sweep)
            .unwrap();
        assert!(found.similarity > 0.9, "{found:?}");
    }
}
