//! Arguments of the examples: two files, then settings as `name=value`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};

/// What an example was told.
pub struct Arguments {
    /// The file to read.
    pub input: PathBuf,
    /// The file to write.
    pub output: PathBuf,
    /// Names and values, in order.
    pub settings: Vec<(String, String)>,
}

impl Arguments {
    /// Reads the program's arguments.
    pub fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let usage = "usage: INPUT.wav OUTPUT.wav [NAME=VALUE ...]";
        let input = words.next().context(usage)?.into();
        let output = words.next().context(usage)?.into();
        let pair = |word: String| {
            let (name, value) = word.split_once('=').context(usage)?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let settings = words.map(pair).collect::<Result<_>>()?;
        Ok(Self {
            input,
            output,
            settings,
        })
    }
}

/// Reads a setting's value into its place.
pub fn set<T: FromStr>(place: &mut T, value: &str) -> Result<()> {
    let parsed = value.parse().ok();
    *place = parsed.with_context(|| format!("{value:?} is no value of this setting"))?;
    Ok(())
}
