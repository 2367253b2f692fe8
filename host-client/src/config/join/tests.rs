use super::*;
use crate::config::flags::{Cli, Command};
use clap::Parser as _;

fn join(extra: &str) -> Result<JoinConfig, String> {
    let line = format!("talkspurt join host --room r --name n {extra}");
    let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    let Command::Join(flags) = cli.command else {
        panic!("not join")
    };
    JoinConfig::try_from(*flags).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = join("").unwrap();
    assert_eq!(
        config.server,
        ServerAddress {
            host: "host".into(),
            port: 8255
        }
    );
    assert_eq!(config.gate, GateConfig::DEFAULT);
    assert_eq!(config.pre_roll_ms, 200);
    assert_eq!(
        (config.input, config.output),
        (
            SoundChoice::Device(DeviceChoice::Default),
            SoundChoice::Device(DeviceChoice::Default)
        )
    );
    assert_eq!(
        (config.linger, config.leave_after),
        (Duration::from_secs(1), None)
    );
    assert_eq!(
        (config.events, config.muted, config.codec),
        (EventsFormat::Auto, false, None)
    );
}

#[test]
fn each_direction_has_its_device() {
    let config = join("--input-device mic --output-device 2").unwrap();
    let microphone = DeviceChoice::Name("mic".into());
    assert_eq!(config.input, SoundChoice::Device(microphone));
    let speaker = SoundChoice::Device(DeviceChoice::Number(2));
    assert_eq!(config.output, speaker);
}

#[test]
fn files_replace_devices() {
    let config =
        join("--input in.wav --output none --codec adpcm --no-gate --muted --events json").unwrap();
    assert_eq!(config.input, SoundChoice::File("in.wav".into()));
    assert_eq!(config.output, SoundChoice::None);
    assert_eq!(config.codec, Some(CodecId::ImaAdpcm));
    assert!(config.gate.mode == GateMode::Off && config.muted);
    assert_eq!(config.events, EventsFormat::Json { levels: false });
}

#[cfg(unix)]
#[test]
fn paths_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStringExt as _;
    let path = std::ffi::OsString::from_vec(b"f\xffr.wav".to_vec());
    let line = ["talkspurt", "join", "h", "-r", "r", "-n", "n", "--output"];
    let line = line
        .map(std::ffi::OsString::from)
        .into_iter()
        .chain([path.clone()]);
    let Command::Join(flags) = Cli::try_parse_from(line).unwrap().command else {
        panic!("not join")
    };
    let config = JoinConfig::try_from(*flags).unwrap();
    assert_eq!(config.output, SoundChoice::File(path.into()));
}

#[test]
fn a_recording_does_not_destroy_its_own_input() {
    let dir = crate::testing::TempDir::new();
    let (says, alias) = (dir.path("says.wav"), dir.path("alias.wav"));
    std::fs::write(&says, "precious").unwrap();
    std::fs::hard_link(&says, &alias).unwrap();
    let flags = |input: &std::path::Path, output: &std::path::Path| {
        format!("--input {} --output {}", input.display(), output.display())
    };
    for output in [&says, &alias] {
        let error = join(&flags(&says, output)).unwrap_err();
        assert!(
            error.starts_with("--output: ") && error.contains("overwritten"),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&says).unwrap(), b"precious");
    assert!(join(&flags(&says, &dir.path("heard.wav"))).is_ok());
}

#[test]
fn one_channel_can_be_asked_for() {
    let channel = |extra| join(extra).unwrap().input_channel;
    assert_eq!(channel(""), InputChannel::Voice);
    assert_eq!(channel("--input-channel 2"), InputChannel::Number(2));
    assert_eq!(channel("--input-channel mix"), InputChannel::Mix);
}

#[test]
fn each_wrong_flag_is_named_in_the_error() {
    for (extra, flag) in [
        ("--gate-open loud", "--gate-open"),
        ("--gate-open 400 --gate-close 500", "--gate-close"),
        ("--gate-window 0", "--gate-window"),
        ("--gate-window 60000", "--gate-window"),
        ("--pre-roll 201", "--pre-roll"),
        ("--playout-delay 301", "--playout-delay"),
        ("--linger=-1", "--linger"),
        ("--for NaN", "--for"),
        ("--for 1e300", "--for"),
        ("--input=", "--input"),
        ("--input-channel left", "--input-channel"),
        ("--input-channel 0", "--input-channel"),
    ] {
        let error = join(extra).unwrap_err();
        assert!(error.contains(flag), "{extra}: {error}");
    }
    let long = "x".repeat(65);
    let cli = Cli::try_parse_from(["talkspurt", "join", "h", "--room", &long, "--name", "n"]);
    assert!(cli.unwrap_err().to_string().contains("--room"));
}

#[test]
fn a_pre_roll_may_be_as_long_as_the_protocol_lets_it() {
    assert_eq!(join("--pre-roll 200").unwrap().pre_roll_ms, 200);
    let problem = join("--pre-roll 201").unwrap_err();
    assert!(problem.contains("from 0 to 200"), "{problem}");
}

#[test]
fn push_to_talk_has_no_gate() {
    let config = join("--ptt").unwrap();
    assert!(config.push_to_talk && config.gate.mode == GateMode::Off);
}
