//! The real server's hub and the real core on virtual time: the promises of issue 2, in every
//! weather, from seeds.

mod delay;
mod desktop;
mod hostile;
mod idle;
mod mouth_to_ear;
mod packets;
mod repair;
mod rosters;
mod serial;
mod tick_hints;
mod voices;
