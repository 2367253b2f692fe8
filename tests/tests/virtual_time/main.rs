//! The real server's hub and the real core on virtual time: what issue 2 promises, under every weather, from seeds.

mod delay;
mod desktop;
mod hostile;
mod idle;
mod packets;
mod rosters;
mod serial;
mod voices;
