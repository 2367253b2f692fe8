//! The core's public API, tested as its users see it. All tests are in one program, which links
//! much faster than one program a file.

mod common;
mod deframer_properties;
mod downlink;
mod downlink_delay;
mod downlink_gaps;
mod endpoint_client;
mod formats;
mod gate_properties;
mod golden_vectors;
mod high_pass;
mod jitter_bounds;
mod jitter_delay;
mod jitter_order;
mod jitter_properties;
mod jitter_recovery;
mod level_meter;
mod mixer_changes;
mod mixer_properties;
mod restart;
mod session_broken;
mod session_handshake;
mod session_life;
mod session_properties;
mod session_talking;
mod uplink;
mod voice_properties;
mod wire_properties;
