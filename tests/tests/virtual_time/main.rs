//! The real server's hub and the real core on virtual time: the promises of issue 2, in every
//! weather, from seeds.

mod datagrams;
mod delay;
mod desktop;
mod hostile;
mod idle;
mod many_rooms;
mod mouth_to_ear;
mod outages;
mod packets;
mod repair;
mod rosters;
mod serial;
mod tick_hints;
mod voices;
