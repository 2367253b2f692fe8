//! Processes kept on processors of their own.
//!
//! On a machine with few of them the scheduler wakes the generator on the server's processor, in
//! the midst of the server's sending, as often as not. What that costs is charged to the server,
//! and differs from run to run. Real listeners are on other machines.

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The first processor that this process may use, and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// For the process under load.
    pub service: usize,
    /// For this process.
    pub generator: usize,
}

impl Processors {
    /// Chooses two of those that this process may use.
    ///
    /// # Errors
    /// It may use only one.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let service = usable.next().context("no processor")?;
        let generator = usable.next_back();
        let generator = generator.context("--pin needs two processors, here is one")?;
        Ok(Self { service, generator })
    }
}

/// Keeps a process that has not started threads yet on one processor; `None`: the calling thread.
///
/// # Errors
/// The process is gone, or not ours.
pub fn pin(process: Option<Pid>, processor: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(process, &one)
        .with_context(|| format!("cannot keep to processor {processor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_one_processor() {
        let Ok(processors) = Processors::choose() else {
            return; // One processor: there is nothing to choose.
        };
        assert_ne!(processors.service, processors.generator);
        std::thread::spawn(move || {
            pin(None, processors.generator).unwrap();
            let allowed = sched_getaffinity(None).unwrap();
            assert_eq!(allowed.count(), 1);
            assert!(allowed.is_set(processors.generator));
            assert!(Processors::choose().is_err());
        })
        .join()
        .unwrap();
    }
}
