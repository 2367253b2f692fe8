//! Sound files as blocks of interleaved floats.

use super::{
    Fault, check_format,
    riff::{Format, RiffReader, u32_at},
};
use std::io::{Cursor, Read};
use symphonia::{
    core::{
        audio::{Channels, GenericAudioBufferRef},
        codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known},
        errors::Error,
        formats::{FormatReader, TrackType},
        io::{MediaSourceStream, ReadOnlySource},
        packet::PacketRef,
        units::{Duration, Timestamp},
    },
    default::{
        codecs::PcmDecoder,
        formats::{FlacReader, OggReader},
        get_codecs,
    },
};

/// Sample frames of a WAV file decoded at a time: 32 ms at 16 kHz, short enough for a live pipe.
const BLOCK_FRAMES: usize = 512;
/// A file ends after this many damaged packets in a row.
const BAD_PACKETS_MAX: u32 = 100;
/// Samples are clipped to this. It is louder than any sound, and safe for the resampler's
/// arithmetic.
const LOUDEST: f32 = 16.0;

/// Bytes of a file, wherever they come from.
pub(super) type Bytes = Box<dyn Read + Send + Sync>;

/// A sound file that is being decoded.
pub(super) struct Decoder {
    packets: Packets,
    decoder: Box<dyn AudioDecoder>,
    pub(super) channels: u16,
    pub(super) rate_hz: u32,
    /// What is wrong with a damaged file, until it is taken.
    pub(super) warning: Option<String>,
}

enum Packets {
    Riff {
        reader: RiffReader<Bytes>,
        block: Vec<u8>,
    },
    Container {
        reader: Box<dyn FormatReader>,
        track: u32,
    },
}

impl Decoder {
    /// Reads the header. `file_bytes` is the length of the file, if it has one.
    pub(super) fn open(mut input: Bytes, file_bytes: Option<u64>) -> Result<Self, Fault> {
        let mut start = Vec::with_capacity(12);
        (&mut input).take(12).read_to_end(&mut start)?;
        match (start.first_chunk(), start.get(8..)) {
            (Some(b"RIFF" | b"RF64" | b"BW64"), Some(b"WAVE")) => {
                Self::riff(RiffReader::new(input, u32_at(&start, 4), file_bytes)?)
            }
            (Some(b"fLaC"), _) => Self::container(start, input, |stream| {
                Ok(Box::new(FlacReader::try_new(stream, Default::default())?))
            }),
            (Some(b"OggS"), _) => Self::container(start, input, |stream| {
                Ok(Box::new(OggReader::try_new(stream, Default::default())?))
            }),
            _ => Err(Fault::format(what_else(&start))),
        }
    }

    fn riff(reader: RiffReader<Bytes>) -> Result<Self, Fault> {
        let format = reader.format;
        let decoder =
            PcmDecoder::try_new(&pcm_parameters(&format), &AudioDecoderOptions::default())
                .map_err(fault)?;
        Ok(Self {
            packets: Packets::Riff {
                reader,
                block: Vec::new(),
            },
            decoder: Box::new(decoder),
            channels: format.channels,
            rate_hz: format.rate_hz,
            warning: None,
        })
    }

    fn container(
        start: Vec<u8>,
        input: Bytes,
        open: impl FnOnce(MediaSourceStream<'static>) -> Result<Box<dyn FormatReader>, Error>,
    ) -> Result<Self, Fault> {
        let whole = ReadOnlySource::new(Cursor::new(start).chain(input));
        let stream = MediaSourceStream::new(Box::new(whole), Default::default());
        let reader = open(stream).map_err(fault)?;
        let track = reader.default_track(TrackType::Audio);
        let parameters = track.and_then(|track| track.codec_params.as_ref()?.audio());
        let (Some(track), Some(parameters)) = (track, parameters) else {
            return Err(Fault::format("it has no sound in it"));
        };
        if parameters.codec == well_known::CODEC_ID_OPUS {
            return Err(Fault::compressed("Opus", "Ogg"));
        }
        let channels = parameters.channels.as_ref().map_or(0, Channels::count);
        let channels = u16::try_from(channels).unwrap_or(u16::MAX);
        let rate_hz = parameters.sample_rate.unwrap_or(0);
        check_format(channels, rate_hz)?;
        let decoder = get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(fault)?;
        let track = track.id;
        Ok(Self {
            packets: Packets::Container { reader, track },
            decoder,
            channels,
            rate_hz,
            warning: None,
        })
    }

    /// Replaces `out` with the next interleaved samples; empty at the end.
    pub(super) fn read(&mut self, out: &mut Vec<f32>) {
        out.clear();
        let mut bad = 0;
        while out.is_empty() && bad < BAD_PACKETS_MAX {
            match self.read_packet(out) {
                Ok(true) => {}
                Ok(false) => return,
                // A damaged packet is skipped; the next one may be whole.
                Err(Error::DecodeError(_)) => bad += 1,
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.warning = Some("it was cut: its end is missing".to_owned());
                    return;
                }
                Err(error) => {
                    self.warning = Some(format!("it ends here: {}", fault(error)));
                    return;
                }
            }
        }
        if bad == BAD_PACKETS_MAX {
            self.warning = Some("it is damaged, and ends here".to_owned());
        }
    }

    /// Returns false at the end.
    fn read_packet(&mut self, out: &mut Vec<f32>) -> Result<bool, Error> {
        let decoded = match &mut self.packets {
            Packets::Riff { reader, block } => {
                reader.read_block(BLOCK_FRAMES, block)?;
                self.warning = reader.warning.take().or(self.warning.take());
                if block.is_empty() {
                    return Ok(false);
                }
                let packet = PacketRef::new(0, Timestamp::new(0), Duration::ZERO, block);
                self.decoder.decode_ref(&packet)?
            }
            Packets::Container { reader, track } => {
                let Some(packet) = reader.next_packet()? else {
                    return Ok(false);
                };
                if packet.track_id != *track {
                    return Ok(true);
                }
                self.decoder.decode(&packet)?
            }
        };
        if decoded.num_planes() != usize::from(self.channels)
            || decoded.spec().rate() != self.rate_hz
        {
            return Err(Error::Unsupported("another rate or number of channels"));
        }
        copy(&decoded, out);
        Ok(true)
    }
}

fn copy(decoded: &GenericAudioBufferRef<'_>, out: &mut Vec<f32>) {
    decoded.copy_to_vec_interleaved(out);
    for sample in out {
        // A NaN would spread through the resampler.
        *sample = if sample.is_finite() {
            sample.clamp(-LOUDEST, LOUDEST)
        } else {
            0.0
        };
    }
}

fn pcm_parameters(format: &Format) -> AudioCodecParameters {
    let mut parameters = AudioCodecParameters::new();
    parameters
        .for_codec(format.codec)
        .with_sample_rate(format.rate_hz)
        .with_channels(Channels::Discrete(format.channels))
        .with_max_frames_per_packet(2 * BLOCK_FRAMES as u64);
    parameters
}

fn fault(error: Error) -> Fault {
    match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Fault::format("it ends before any sound")
        }
        Error::IoError(error) => Fault::Io(error),
        Error::DecodeError(problem) => Fault::format(format!("it is damaged ({problem})")),
        Error::Unsupported(problem) => Fault::format(format!("it cannot be decoded ({problem})")),
        other => Fault::format(other.to_string()),
    }
}

/// Sounds that are not played, by the bytes at some place of their files' beginning.
const OTHERS: [(usize, &[u8], &str); 10] = [
    (0, b"RIFX", "a big-endian WAV file (RIFX)"),
    (0, b"RIFF", "a RIFF file, but not a WAV file"),
    (0, b"ID3", "an MP3 file"),
    (8, b"AIFF", "an AIFF file"),
    (8, b"AIFC", "an AIFF file"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"caff", "a CAF file"),
    (0, b".snd", "an AU file"),
    (0, b"\x1A\x45\xDF\xA3", "a Matroska or WebM file"),
    (0, b"riff", "a Wave64 file"),
];

/// Names the format of a file that is not WAV, FLAC or Ogg.
fn what_else(start: &[u8]) -> String {
    let has = |&&(at, bytes, _): &&(usize, &[u8], _)| {
        start.get(at..).is_some_and(|rest| rest.starts_with(bytes))
    };
    let kind = match (OTHERS.iter().find(has), start) {
        (Some((.., kind)), _) => kind,
        // The frames of both begin with twelve set bits, or eleven.
        (None, [0xFF, 0xE2..=0xE7 | 0xF2..=0xF7 | 0xFA..=0xFF, ..]) => "an MP3 file",
        (None, [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..]) => "an AAC file",
        (None, []) => return "it is empty".to_owned(),
        _ => return "it is not a sound file; WAV, FLAC and Ogg Vorbis are played".to_owned(),
    };
    format!("this is {kind}; convert it to WAV, FLAC or Ogg Vorbis")
}
