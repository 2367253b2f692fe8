//! What an endpoint counts.

/// Counts since the endpoint was created, over all its sessions. All wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ClientStats {
    /// Packets received.
    pub packets_received: u32,
    /// Packets transmitted.
    pub packets_transmitted: u32,
    /// Bytes received that belonged to no intact packet.
    pub dropped_bytes: u64,
    /// Packets whose CRC did not match.
    pub crc_errors: u32,
    /// Other runs of bytes that were no packet.
    pub malformed: u32,
    /// Voice packets dropped because the carrier did not take them in time.
    pub voice_dropped: u32,
    /// Frames captured while in a room.
    pub frames_captured: u32,
    /// Frames sent, pre-roll among them.
    pub frames_sent: u32,
    /// Talkspurts begun.
    pub talkspurts: u32,
    /// Frames received: voice packets with a payload that the session's codec can play.
    pub frames_received: u32,
    /// Frames played as they were received.
    pub frames_played: u32,
    /// Frames played in the place of missing ones.
    pub frames_concealed: u32,
    /// Frames of silence played.
    pub frames_silent: u32,
}
