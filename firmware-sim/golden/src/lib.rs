//! What the core must compute, bit for bit, on every machine.
//!
//! A [`Scenario`] drives a part of the core with a voice made of integers and writes down the whole
//! output. Its first output is in `vectors/` and never changes: `cargo test -p talkspurt-golden`
//! compares on a host, `cargo xtask firmware test` on both boards in QEMU. A scenario that must
//! change gets a new name and a new file (`examples/write_golden.rs`).
#![no_std]
#![deny(missing_docs)]

mod adpcm;
mod gate;
mod jitter;
mod level;
mod mix;
mod packets;
pub mod sound;
mod streams;

/// Takes a scenario's output.
pub type Out<'a> = dyn FnMut(&[u8]) + 'a;

/// One part of the core, driven in one way.
pub struct Scenario {
    /// Its subject, and the name of its file in `vectors/`.
    pub name: &'static str,
    run: fn(&mut Out<'_>),
    expected: &'static [u8],
}

/// Where a scenario's output differs from its vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first byte that differs, is missing, or is superfluous.
    pub at: usize,
    /// How many bytes are expected.
    pub expected_bytes: usize,
}

macro_rules! scenarios {
    ($($name:literal: $run:path,)*) => {
        /// All scenarios.
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: $name,
            run: $run,
            expected: include_bytes!(concat!("../vectors/", $name, ".bin")),
        },)*];
    };
}

scenarios! {
    "level": level::run,
    "gate": gate::run,
    "adpcm": adpcm::run,
    "mix": mix::run,
    "packets": packets::run,
    "deframer": packets::damaged,
    "jitter": jitter::run,
    "uplink": streams::uplink,
    "downlink": streams::downlink,
}

impl Scenario {
    /// Runs the scenario and writes its output to `out`.
    pub fn run(&self, out: &mut Out<'_>) {
        (self.run)(out);
    }

    /// Returns whether `vectors/` has nothing for it yet.
    pub const fn is_new(&self) -> bool {
        self.expected.is_empty()
    }

    /// Runs the scenario and compares its output. Returns how many bytes were compared.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self) -> Result<usize, Difference> {
        let (mut at, mut differs_at) = (0, None);
        self.run(&mut |bytes| {
            let expected = self.expected.get(at..at + bytes.len());
            if expected != Some(bytes) && differs_at.is_none() {
                let same = bytes.iter().zip(self.expected.iter().skip(at));
                differs_at = Some(at + same.take_while(|(a, b)| a == b).count());
            }
            at += bytes.len();
        });
        match differs_at {
            None if at == self.expected.len() && at > 0 => Ok(at),
            at_byte => Err(Difference {
                at: at_byte.unwrap_or(at.min(self.expected.len())),
                expected_bytes: self.expected.len(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn scenario(expected: &'static [u8]) -> Scenario {
        let run = |out: &mut Out<'_>| {
            out(&[1, 2]);
            out(&[3]);
        };
        Scenario {
            name: "one, two, three",
            run,
            expected,
        }
    }

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(scenario(&[1, 2, 3]).check(), Ok(3));
        for (expected, at) in [
            (&[1, 2, 4][..], 2),
            (&[0, 2, 3], 0),
            (&[1, 0, 3], 1),
            (&[1, 2], 2),
            (&[1], 1),
            (&[1, 2, 3, 4], 3),
            (&[], 0),
        ] {
            let expected_bytes = expected.len();
            assert_eq!(
                scenario(expected).check(),
                Err(Difference { at, expected_bytes })
            );
        }
    }
}
