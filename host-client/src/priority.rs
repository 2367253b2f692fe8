//! Asks the system to wake the session's thread on time.
//!
//! A frame that leaves 20 ms late is heard as a gap. On a busy machine an ordinary thread waits for others that long; a thread
//! with real-time priority does not. It works for a few tens of microseconds per frame, so it takes nothing from anybody.

use thread_priority::ThreadPriority;

/// Above every ordinary thread, below what sound servers usually take for themselves (20 and more).
const PRIORITY: u8 = 10;

/// Best effort: where it is not permitted (Linux without a limit `rtprio`), the thread stays an ordinary one.
pub(crate) fn raise() {
    let Ok(level) = PRIORITY.try_into() else {
        return;
    };
    let priority = ThreadPriority::Crossplatform(level);
    match real_time(priority) {
        Ok(()) => tracing::debug!("the session runs with real-time priority"),
        Err(error) => tracing::debug!(?error, "no real-time priority; a busy machine may be heard"),
    }
}

#[cfg(unix)]
fn real_time(priority: ThreadPriority) -> Result<(), thread_priority::Error> {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread_native_id(), priority, policy)
}

#[cfg(not(unix))]
fn real_time(priority: ThreadPriority) -> Result<(), thread_priority::Error> {
    thread_priority::set_current_thread_priority(priority)
}
