//! The counters as Prometheus metrics.
//!
//! The voice path adds to plain integers ([`Counters`]). A registry is made from them for each
//! scrape, so that counting costs nothing and several servers can live in one process.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use talkspurt_hub::counters::{Counters, FrameCounters, Gauges};

use crate::process::Process;

pub use text_format::Format;

mod text_format;

/// Upper bounds in seconds: a room of 8 mixes in tens of microseconds, and a tick that takes a
/// frame (20 ms) is lost.
const MIX_SECONDS: [f64; 10] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 20e-3,
];

/// How long mixes took. Filled by the shell, which has the clock.
#[derive(Clone, Debug)]
pub struct MixTimes(Histogram);

impl Default for MixTimes {
    fn default() -> Self {
        Self(Histogram::new(MIX_SECONDS))
    }
}

impl MixTimes {
    /// Records how long one room's tick took, from the first talker's decoding to the last
    /// listener's encoding.
    pub fn observe(&self, took: std::time::Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

/// All metrics in one of the two formats.
pub fn render(
    format: Format,
    process: &Process,
    counters: &Counters,
    frames: &FrameCounters,
    gauges: &Gauges,
    mix_times: &MixTimes,
) -> String {
    let mut page = PageRegistry(Registry::with_prefix("talkspurt"));
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    page.0
        .register("build", "The version of the server", version);
    page.add_gauges(gauges);
    page.add_counters(counters);
    page.add_frames(frames);
    let help = "Time to mix one frame of one room";
    page.0.register("mix_seconds", help, mix_times.0.clone());
    let help = "Connections that never became a session";
    page.by_reason("handshake_failures", help, &counters.handshake_failures);
    let help = "Sessions that ended";
    page.by_reason("sessions_ended", help, &counters.sessions_ended);
    let page = page.text(process);
    match format {
        Format::OpenMetrics => page,
        Format::Text => text_format::from_open_metrics(&page),
    }
}

struct PageRegistry(Registry);

impl PageRegistry {
    fn add_gauges(&mut self, of: &Gauges) {
        self.gauge("rooms", "Rooms with participants", of.rooms);
        self.gauge("participants", "Participants in all rooms", of.participants);
        self.gauge("talkers", "Participants who are talking", of.talkers);
        self.gauge("handshakes", "Connections not joined yet", of.handshakes);
    }

    fn add_counters(&mut self, of: &Counters) {
        self.counter("packets_in", "Packets received", of.packets_in);
        self.counter("packets_out", "Packets sent", of.packets_out);
        self.counter("bytes_in", "Bytes received from peers", of.bytes_in);
        self.counter("bytes_out", "Bytes sent to peers", of.bytes_out);
        let help = "Frames mixed, one for each room and frame period";
        self.counter("ticks", help, of.ticks);
        let help = "Ticks given up because the server was late";
        self.counter("ticks_skipped", help, of.ticks_skipped);
        let help = "Mixes rendered and encoded";
        self.counter("encodings", help, of.encodings);
        let help = "Voice packets dropped for listeners who read too slowly";
        self.counter("slow_consumer_drops", help, of.slow_consumer_drops);
        let help = "Connections that closed before sending anything";
        self.counter("probes", help, of.probes);
    }

    fn add_frames(&mut self, frames: &FrameCounters) {
        let help = "Voice frames that arrived after their turn";
        self.counter("frames_late", help, frames.late);
        let help = "Voice frames that never arrived";
        self.counter("frames_lost", help, frames.lost);
        let help = "Frames made up to replace late or lost ones";
        self.counter("frames_concealed", help, frames.concealed);
        let help = "Frames blended away to shorten the delay";
        self.counter("frames_skipped", help, frames.skipped);
        let help = "Frames dropped because too many waited";
        self.counter("frames_overflowed", help, frames.overflowed);
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    /// On the page `_total` is appended to the name.
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn by_reason(&mut self, name: &str, help: &str, values: &BTreeMap<&'static str, u64>) {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        for (reason, value) in values {
            family.get_or_create(&[("reason", reason)]).inc_by(*value);
        }
        self.0.register(name, help, family);
    }

    fn text(self, process: &Process) -> String {
        use prometheus_client::encoding::text;

        let mut page = String::new();
        // Writing into a String cannot fail, and every metric above is of a kind that can be
        // written.
        text::encode_registry(&mut page, &self.0)
            .and_then(|()| text::encode_registry(&mut page, &process_registry(process)))
            .and_then(|()| text::encode_eof(&mut page))
            .expect("metrics can be written as text");
        page
    }
}

/// The process's figures, under names without our prefix, which dashboards know.
fn process_registry(process: &Process) -> Registry {
    let mut registry = Registry::with_prefix("process");
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    };
    gauge(
        "resident_memory_bytes",
        "Resident memory",
        process.resident_bytes,
    );
    gauge("open_fds", "Open file descriptors", process.open_fds);
    let help = "Maximum number of open file descriptors";
    gauge("max_fds", help, process.max_fds);
    let help = "When the process started, in seconds since 1970";
    gauge("start_time_seconds", help, process.start_time_seconds);
    if let Some(seconds) = process.cpu_seconds {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(seconds);
        registry.register("cpu_seconds", "User and system time used", counter);
    }
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_metric_is_on_the_page_with_its_value() {
        let mut counters = Counters {
            packets_in: 1,
            packets_out: 2,
            bytes_in: 3,
            bytes_out: 4,
            ..Counters::default()
        };
        counters.slow_consumer_drops = 5;
        counters.handshake_failures.insert("name_taken", 6);
        let frames = FrameCounters {
            late: 7,
            lost: 8,
            concealed: 9,
            ..FrameCounters::default()
        };
        let gauges = Gauges {
            rooms: 10,
            participants: 11,
            talkers: 12,
            handshakes: 0,
        };
        let mix_times = MixTimes::default();
        mix_times.observe(std::time::Duration::from_micros(30));
        let process = Process {
            cpu_seconds: Some(1.5),
            resident_bytes: Some(4_096.0),
            open_fds: Some(9.0),
            max_fds: Some(1_024.0),
            start_time_seconds: Some(1_700_000_000.25),
        };
        let render = |format| render(format, &process, &counters, &frames, &gauges, &mix_times);
        let text = render(Format::OpenMetrics);
        for line in [
            "talkspurt_rooms 10",
            "talkspurt_participants 11",
            "talkspurt_talkers 12",
            "talkspurt_packets_in_total 1",
            "talkspurt_packets_out_total 2",
            "talkspurt_bytes_in_total 3",
            "talkspurt_bytes_out_total 4",
            "talkspurt_slow_consumer_drops_total 5",
            "talkspurt_handshake_failures_total{reason=\"name_taken\"} 6",
            "talkspurt_frames_late_total 7",
            "talkspurt_frames_lost_total 8",
            "talkspurt_frames_concealed_total 9",
            "talkspurt_mix_seconds_bucket{le=\"0.00005\"} 1",
            "talkspurt_mix_seconds_count 1",
            "talkspurt_build_info{version=\"0.1.0\"} 1",
            "process_cpu_seconds_total 1.5",
            "process_resident_memory_bytes 4096",
            "process_open_fds 9",
            "process_max_fds 1024",
            "process_start_time_seconds 1700000000.25",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|l| l.starts_with(line)),
                "{line} is missing in\n{text}"
            );
        }

        let text = render(Format::Text);
        assert!(!text.contains("# EOF"));
        assert!(text.contains("# TYPE talkspurt_packets_in_total counter\n"));
        assert_described(&text);
    }

    /// Checks what `promtool check metrics` wants: each name has its help and type before its first
    /// sample.
    fn assert_described(text: &str) {
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let name = sample.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            let before = &text[..text.find(sample).unwrap()];
            for what in ["HELP", "TYPE"] {
                assert!(
                    before.contains(&format!("# {what} {family} ")),
                    "{what} of {name}"
                );
            }
        }
    }
}
