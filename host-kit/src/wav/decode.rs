//! Sound files as blocks of interleaved floats.

use super::{
    Fault, check_format,
    riff::{Coding, Format, RiffReader},
};
use std::io::{Cursor, Read};
use symphonia::{
    core::{
        audio::{Channels, GenericAudioBufferRef},
        codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known},
        errors::Error,
        formats::{FormatOptions, FormatReader, TrackType},
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
    channels: u16,
    rate_hz: u32,
    warning: Option<String>,
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
        (&mut input)
            .take(12)
            .read_to_end(&mut start)
            .map_err(Fault::Io)?;
        match start.as_slice() {
            [
                b'R',
                b'I' | b'F',
                b'F' | b'6',
                b'F' | b'4',
                _,
                _,
                _,
                _,
                b'W',
                b'A',
                b'V',
                b'E',
            ]
            | [b'B', b'W', b'6', b'4', _, _, _, _, b'W', b'A', b'V', b'E'] => {
                let start = start.try_into().expect("the pattern has twelve bytes");
                Self::riff(RiffReader::new(input, start, file_bytes)?)
            }
            [b'f', b'L', b'a', b'C', ..] => Self::container(start, input, |stream| {
                Ok(Box::new(FlacReader::try_new(
                    stream,
                    FormatOptions::default(),
                )?))
            }),
            [b'O', b'g', b'g', b'S', ..] => Self::container(start, input, |stream| {
                Ok(Box::new(OggReader::try_new(
                    stream,
                    FormatOptions::default(),
                )?))
            }),
            other => Err(Fault::format(what_else(other))),
        }
    }

    fn riff(reader: RiffReader<Bytes>) -> Result<Self, Fault> {
        let format = reader.format();
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
        let track = reader
            .default_track(TrackType::Audio)
            .ok_or_else(|| Fault::format("it has no sound in it"))?;
        let parameters = track
            .codec_params
            .as_ref()
            .and_then(|parameters| parameters.audio())
            .ok_or_else(|| Fault::format("it has no sound in it"))?;
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

    pub(super) fn channels(&self) -> u16 {
        self.channels
    }

    pub(super) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Takes the warning about a damaged file. Gives it once.
    pub(super) fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
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
                    let problem = match fault(error) {
                        Fault::Io(error) => crate::words::describe(&error),
                        Fault::Format(problem) => problem,
                    };
                    self.warning = Some(format!("it ends here: {problem}"));
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
                let read = reader.read_block(BLOCK_FRAMES, block);
                self.warning = reader.take_warning().or(self.warning.take());
                if let Err(Fault::Io(error)) = read {
                    return Err(Error::IoError(error));
                }
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
    let codec = match format.coding {
        Coding::Unsigned8 => well_known::CODEC_ID_PCM_U8,
        Coding::Signed16 => well_known::CODEC_ID_PCM_S16LE,
        Coding::Signed24 => well_known::CODEC_ID_PCM_S24LE,
        Coding::Signed32 => well_known::CODEC_ID_PCM_S32LE,
        Coding::Float32 => well_known::CODEC_ID_PCM_F32LE,
        Coding::Float64 => well_known::CODEC_ID_PCM_F64LE,
        Coding::ALaw => well_known::CODEC_ID_PCM_ALAW,
        Coding::MuLaw => well_known::CODEC_ID_PCM_MULAW,
    };
    let mut parameters = AudioCodecParameters::new();
    parameters
        .for_codec(codec)
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

/// Names the format of a file that is not WAV, FLAC or Ogg.
fn what_else(start: &[u8]) -> String {
    let kind = match start {
        [] => return "it is empty".to_owned(),
        [b'R', b'I', b'F', b'X', ..] => "a big-endian WAV file (RIFX)",
        [b'R', b'I', b'F', b'F', ..] => "a RIFF file, but not a WAV file",
        [b'I', b'D', b'3', ..] | [0xFF, 0xE2..=0xE7 | 0xF2..=0xF7 | 0xFA..=0xFF, ..] => {
            "an MP3 file"
        }
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => "an AAC file",
        [
            b'F',
            b'O',
            b'R',
            b'M',
            _,
            _,
            _,
            _,
            b'A',
            b'I',
            b'F',
            b'F' | b'C',
        ] => "an AIFF file",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 file",
        [b'c', b'a', b'f', b'f', ..] => "a CAF file",
        [b'.', b's', b'n', b'd', ..] => "an AU file",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "a Matroska or WebM file",
        [b'r', b'i', b'f', b'f', ..] => "a Wave64 file",
        _ => return "it is not a sound file; WAV, FLAC and Ogg Vorbis are played".to_owned(),
    };
    format!("this is {kind}; convert it to WAV, FLAC or Ogg Vorbis")
}
