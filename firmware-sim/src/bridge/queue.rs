//! The bounded buffer between one end's reader and the other end's writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes in transit in one direction. A full queue drops its oldest bytes, since late voice is
/// worth less than new voice. It cuts from just after one zero up to another: whatever the bytes
/// mean, a stream cut there loses only the bytes between, while one cut anywhere else also loses
/// the bytes around each cut.
#[derive(Debug)]
pub struct ByteQueue {
    state: Mutex<State>,
    filled: Condvar,
    capacity: usize,
}

/// Bytes lost since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes dropped because the writer did not keep up.
    pub overflow_bytes: u64,
    /// Bytes discarded because there was no connection.
    pub unconnected_bytes: u64,
}

#[derive(Debug)]
struct State {
    bytes: VecDeque<u8>,
    /// Whether the last byte taken out was not a zero.
    is_cut: bool,
    connected: bool,
    lost: Lost,
}

impl ByteQueue {
    /// Creates an empty queue of `capacity` bytes that takes nothing before [`Self::connect`].
    ///
    /// # Panics
    /// When `capacity` is zero, which is a bug of the caller.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a byte queue needs room");
        let state = State {
            bytes: VecDeque::with_capacity(capacity),
            is_cut: false,
            connected: false,
            lost: Lost::default(),
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            capacity,
        }
    }

    /// Starts taking bytes, and starts empty: earlier bytes belonged to an earlier connection.
    pub fn connect(&self) {
        let mut state = self.lock();
        state.lost.unconnected_bytes += state.bytes.len() as u64;
        state.bytes.clear();
        state.is_cut = false;
        state.connected = true;
    }

    /// Discards and counts the bytes held here and any that still come.
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.lost.unconnected_bytes += state.bytes.len() as u64;
        state.bytes.clear();
        state.connected = false;
    }

    /// Appends `bytes`, dropping the oldest ones if there is no room. Never blocks.
    pub fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.connected {
            state.lost.unconnected_bytes += bytes.len() as u64;
            return;
        }
        for part in bytes.chunks(self.capacity) {
            let excess = (state.bytes.len() + part.len()).saturating_sub(self.capacity);
            state.make_room(excess);
            state.bytes.extend(part);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Takes up to `out.len()` bytes, and waits at most `timeout` for the first one. Returns 0 if
    /// none came.
    pub fn pop(&self, out: &mut [u8], timeout: Duration) -> usize {
        let state = self.lock();
        let waited = self
            .filled
            .wait_timeout_while(state, timeout, |state| state.bytes.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let count = out.len().min(state.bytes.len());
        for (slot, byte) in out.iter_mut().zip(state.bytes.drain(..count)) {
            *slot = byte;
        }
        if let Some(last) = out[..count].last() {
            state.is_cut = *last != 0;
        }
        count
    }

    /// Returns what was lost since the last call.
    pub fn take_lost(&self) -> Lost {
        std::mem::take(&mut self.lock().lost)
    }

    /// A panicking holder cannot leave the state half changed, so a poisoned lock is still valid.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops at least `excess` bytes: the oldest ones between two zeros.
    fn make_room(&mut self, excess: usize) {
        if excess == 0 {
            return;
        }
        let zeros = || {
            let bytes = self.bytes.iter().enumerate();
            bytes.filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1)
        };
        // A packet that is partly taken out stays.
        let start = if self.is_cut { zeros().next() } else { Some(0) };
        let end = start.and_then(|start| zeros().find(|end| *end >= start + excess));
        let (start, end) = match (start, end) {
            (Some(start), Some(end)) => (start, end),
            // Too few zeros: the stream does not use them as separators.
            _ => (0, excess),
        };
        self.bytes.drain(start..end);
        self.lost.overflow_bytes += (end - start) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop_all(queue: &ByteQueue) -> Vec<u8> {
        let mut out = [0; 64];
        let count = queue.pop(&mut out, Duration::ZERO);
        out[..count].to_vec()
    }

    #[test]
    fn a_full_queue_drops_the_oldest_bytes_and_counts_them() {
        let queue = ByteQueue::new(4);
        queue.connect();
        queue.push(&[1, 2, 3]);
        queue.push(&[4, 5, 6]);
        assert_eq!(
            queue.take_lost(),
            Lost {
                overflow_bytes: 2,
                unconnected_bytes: 0
            }
        );
        assert_eq!(pop_all(&queue), [3, 4, 5, 6]);
    }

    #[test]
    fn bytes_are_dropped_from_zero_to_zero_but_not_a_started_packet() {
        let queue = ByteQueue::new(10);
        queue.connect();
        queue.push(&[1, 1, 0, 2, 2, 0, 3, 3, 0]);
        let mut first = [0; 1];
        assert_eq!(queue.pop(&mut first, Duration::ZERO), 1);
        queue.push(&[4, 4, 0]);
        assert_eq!(queue.take_lost().overflow_bytes, 3);
        assert_eq!(pop_all(&queue), [1, 0, 3, 3, 0, 4, 4, 0]);
        // The oldest bytes between two zeros are dropped as a whole.
        queue.push(&[5, 5, 0, 6, 6, 0, 7, 7, 0]);
        queue.push(&[8, 8, 0]);
        assert_eq!(pop_all(&queue), [6, 6, 0, 7, 7, 0, 8, 8, 0]);
    }

    #[test]
    fn a_slow_line_carries_whole_packets() {
        let queue = ByteQueue::new(1_000);
        queue.connect();
        let (mut heard, mut piece) = (Vec::new(), [0; 75]);
        for number in 0..100_u8 {
            let mut packet = [number + 1; 100];
            packet[99] = 0;
            queue.push(&packet[..30]);
            queue.push(&packet[30..]);
            let count = queue.pop(&mut piece, Duration::ZERO);
            heard.extend_from_slice(&piece[..count]);
        }
        let whole = |packet: &&[u8]| packet.len() == 99 && packet.iter().all(|b| *b == packet[0]);
        let packets: Vec<&[u8]> = heard.split(|byte| *byte == 0).collect();
        // The last one is still in transit.
        let (_, packets) = packets.split_last().unwrap();
        assert!(packets.iter().all(whole), "{packets:?}");
        assert_eq!(packets.len(), 75);
    }

    #[test]
    fn a_chunk_larger_than_the_queue_keeps_its_end() {
        let queue = ByteQueue::new(4);
        queue.connect();
        queue.push(&[9]);
        queue.push(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(pop_all(&queue), [3, 4, 5, 6]);
        assert_eq!(queue.take_lost().overflow_bytes, 3);
    }

    #[test]
    fn nothing_survives_from_before_the_connection() {
        let queue = ByteQueue::new(8);
        queue.push(&[1, 2]);
        queue.connect();
        queue.push(&[3]);
        queue.disconnect();
        queue.push(&[4]);
        queue.connect();
        queue.push(&[5]);
        assert_eq!(pop_all(&queue), [5]);
        assert_eq!(
            queue.take_lost(),
            Lost {
                overflow_bytes: 0,
                unconnected_bytes: 4
            }
        );
    }

    #[test]
    fn a_packet_that_was_cut_by_the_end_of_a_connection_is_not_finished_on_the_next() {
        let queue = ByteQueue::new(6);
        queue.connect();
        queue.push(&[9, 9, 0]);
        assert_eq!(queue.pop(&mut [0; 1], Duration::ZERO), 1);
        queue.disconnect();
        queue.connect();
        queue.push(&[1, 1, 0, 2, 2, 0]);
        queue.push(&[3, 3, 0]);
        assert_eq!(pop_all(&queue), [2, 2, 0, 3, 3, 0]);
    }

    #[test]
    fn a_waiting_writer_is_woken_by_the_first_byte() {
        let queue = ByteQueue::new(8);
        queue.connect();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut out = [0; 8];
                let count = queue.pop(&mut out, Duration::from_secs(3600));
                out[..count].to_vec()
            });
            queue.push(&[7]);
            assert_eq!(writer.join().unwrap(), [7]);
        });
    }
}
