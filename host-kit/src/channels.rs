//! One channel out of many.
//!
//! A microphone on one side of a stereo cable, or on one input of eight, must be heard at its own
//! level, and two channels of opposite phase must not cancel. A mean fails at both, so by default
//! [`ChannelPicker`] follows the channel that carries the voice. It runs in audio callbacks: after
//! [`ChannelPicker::new`] it neither allocates nor blocks.

mod picker;

pub use picker::ChannelPicker;

use std::{fmt, str::FromStr};

/// Most channels a format may have. A header or device that claims more is not believed.
pub const CHANNELS_MAX: u16 = 256;

/// Which channel of a microphone or file is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputChannel {
    /// The one that carries the voice, at its own level.
    #[default]
    Voice,
    /// This one, counted from 1.
    Number(u16),
    /// The mean of all channels.
    Mix,
}

impl InputChannel {
    /// Checks that `channels` channels include this one.
    ///
    /// # Errors
    /// A sentence that says how many there are.
    pub fn check(self, channels: u16) -> Result<(), String> {
        match self {
            Self::Number(number) if number > channels => {
                Err(format!("there is no channel {number}: it has {channels}"))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for InputChannel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("voice", _) => Ok(Self::Voice),
            ("mix", _) => Ok(Self::Mix),
            (_, Ok(number)) if (1..=CHANNELS_MAX).contains(&number) => Ok(Self::Number(number)),
            _ => Err(format!(
                "`{text}` is not a channel; give a number from 1, `mix` for the mean of all, or `voice`"
            )),
        }
    }
}

impl fmt::Display for InputChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Voice => f.write_str("voice"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Mix => f.write_str("mix"),
        }
    }
}

#[cfg(test)]
mod tests;
