//! Asks the system to wake the threads that carry sound on time.
//!
//! A frame that is sent 20 ms late is heard as a gap. On a busy machine an ordinary thread may wait
//! that long.
//!
//! - The session's thread gets real-time priority, and so do our own threads that carry sound to
//!   and from ALSA's plugins. They work for tens of microseconds per frame, so they take nothing
//!   from other programs, and nap where a device makes them spin.
//! - The sound library's threads must not have it. cpal's ALSA worker spins through errors at the
//!   start, after an xrun and when a sound server dies; it would block the library's other thread,
//!   the sound server and us (measured: with real-time priority 37 gaps in 22 s on a busy machine,
//!   4 without). They are ordinary threads with a preferred niceness.
//!
//! All of it is best effort: where it is not permitted (Linux without the limits `rtprio` and
//! `nice`), nothing changes.

use thread_priority::ThreadPriority;
#[cfg(unix)]
use thread_priority::unix::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Above every ordinary thread, below what sound servers usually use (20 and more).
const REAL_TIME: u8 = 10;

/// The niceness that PulseAudio uses (`nice-level` in its `daemon.conf`).
#[cfg(unix)]
const PREFERRED_NICE: i32 = -11;

/// Raises the calling thread, the session's or one that carries sound, to real-time priority.
pub(crate) fn raise() {
    let Ok(level) = REAL_TIME.try_into() else {
        return;
    };
    match real_time(ThreadPriority::Crossplatform(level)) {
        Ok(()) => tracing::debug!("this thread has real-time priority"),
        Err(error) => tracing::debug!(
            ?error,
            "no real-time priority; sound may stutter on a busy machine"
        ),
    }
}

/// Prefers the calling thread, which opens devices, and so the sound library's threads, which
/// inherit its priority.
#[cfg(unix)]
pub(crate) fn prefer() {
    // It was started by the session's thread, and inherited its priority.
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let ordinary = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    if let Err(error) = ordinary {
        tracing::debug!(?error, "a device's thread keeps real-time priority");
    }
    // On Linux "this process" means only the calling thread here.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, PREFERRED_NICE) {
        tracing::debug!(%error, "a device's thread is an ordinary one");
    }
}

#[cfg(not(unix))]
pub(crate) fn prefer() {}

#[cfg(unix)]
fn real_time(priority: ThreadPriority) -> Result<(), thread_priority::Error> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread_native_id(), priority, policy)
}

#[cfg(not(unix))]
fn real_time(priority: ThreadPriority) -> Result<(), thread_priority::Error> {
    thread_priority::set_current_thread_priority(priority)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use thread_priority::unix::thread_schedule_policy_param;

    fn is_real_time() -> bool {
        let (policy, _) = thread_schedule_policy_param(thread_native_id()).unwrap();
        matches!(policy, ThreadSchedulePolicy::Realtime(_))
    }

    #[test]
    fn device_threads_do_not_inherit_real_time_priority() {
        // In their own threads: the changes must not outlive the test.
        let session = std::thread::spawn(|| {
            raise();
            let permitted = is_real_time();
            let device = std::thread::spawn(|| {
                let inherited = is_real_time();
                prefer();
                (inherited, is_real_time())
            });
            (permitted, device.join().unwrap())
        });
        let (permitted, (inherited, after)) = session.join().unwrap();
        assert_eq!(
            inherited, permitted,
            "inherited, so it has to be taken back"
        );
        assert!(!after);
    }
}
