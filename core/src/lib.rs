#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(not(test), forbid(unsafe_code))]
#![deny(missing_docs)]
#![deny(
    clippy::float_arithmetic,
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_core
)]

#[cfg(test)]
extern crate std;

pub mod audio;
pub mod backoff;
pub mod carrier;
pub mod delay;
pub mod endpoint;
pub mod seq;
pub mod session;
pub mod time;
pub mod token_bucket;
pub mod voice;
pub mod wire;
