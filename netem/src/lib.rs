//! A hostile network from a seed: the real server's hub and clients of the real core, joined by
//! byte streams with [`Weather`] on them. The protocol has no datagrams yet, but the network can
//! carry voice as [`Datagrams`] beside the stream already.
//!
//! Nothing here sleeps or looks at a clock: minutes of a room pass in milliseconds, and one seed
//! always gives the same run.
//!
//! ```
//! use talkspurt_core::audio::format::FrameDuration;
//! use talkspurt_core::time::Duration;
//! use talkspurt_netem::{Person, Weather, World, hub_config};
//!
//! let mut world = World::new(hub_config(FrameDuration::Ms20), 7);
//! let ann = world.join(Person::new("kitchen", "ann"), Weather::CALM);
//! let ben = world.join(Person::new("kitchen", "ben"), Weather::STORMY);
//! world.run_until("both know each other", Duration::from_secs(5), |world| {
//!     world.clients().all(|client| client.names() == ["ann", "ben"])
//! });
//! // A pulled cable tells nobody. The server drops Ben when it has heard nothing for long enough.
//! world.vanish(world.stream(ben));
//! world.run_until("ann is alone", Duration::from_secs(60), |world| {
//!     world.client(ann).names() == ["ann"]
//! });
//! ```

#![deny(missing_docs)]

mod client;
mod datagrams;
mod loss;
mod lost_packets;
mod participant;
mod person;
mod pipe;
mod schedule;
mod stream;
mod weather;
mod world;

pub use client::Client;
pub use datagrams::{DatagramCounts, Datagrams};
pub use loss::PacketLoss;
pub use participant::Participant;
pub use person::Person;
pub use weather::Weather;
pub use world::{ClientId, StreamId, World, hub_config};
