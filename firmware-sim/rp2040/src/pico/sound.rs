//! Microphone on ADC 0 (GP26), speaker on PWM 1A (GP2). DMA carries the samples in blocks of 5 ms,
//! with two buffers each way, and one interrupt per block converts them.
//!
//! Only the crystal paces the converters: an interrupt that is late by less than a block changes
//! nothing.

use cortex_m::singleton;
use rp2040_hal::adc::{Adc, AdcPin, DmaReadTarget};
use rp2040_hal::dma::double_buffer::{Config, ReadNext, Transfer, WriteNext};
use rp2040_hal::dma::{CH0, CH1, CH2, CH3, Channel, Channels, SingleChannel};
use rp2040_hal::gpio::bank0::Gpio26;
use rp2040_hal::gpio::{FunctionSioInput, Pin, PullNone};
use rp2040_hal::pac::{Interrupt, interrupt};
use rp2040_hal::pwm::{CcFormat, FreeRunning, Pwm1, Slice, SliceDmaWrite, SliceDmaWriteCc};
use talkspurt_rp2040::samples::{BLOCK_STEPS, STEP_RATE_HZ};
use talkspurt_rp2040::sound::{
    Microphone, MicrophoneIsr, SampleQueue, Speaker, SpeakerIsr, microphone, speaker,
};

use super::clocks::{ADC_HZ, SYSTEM_HZ};
use super::interrupts::Handover;

/// Cycles of a PWM period, one more than the highest duty: 11 bits of resolution.
const PWM_PERIOD: u32 = SYSTEM_HZ / STEP_RATE_HZ;
/// Cycles of the ADC's clock between readings; a reading takes 96 (RP2040 data sheet, section
/// 4.9.2).
const ADC_PERIOD: u32 = ADC_HZ / STEP_RATE_HZ;

const _: () = assert!(PWM_PERIOD * STEP_RATE_HZ == SYSTEM_HZ && PWM_PERIOD <= 1 << 16);
const _: () = assert!(ADC_PERIOD * STEP_RATE_HZ == ADC_HZ && ADC_PERIOD >= 96);

type Readings = [u16; BLOCK_STEPS];
type Duties = [CcFormat; BLOCK_STEPS];

type FromAdc = Transfer<
    Channel<CH0>,
    Channel<CH1>,
    DmaReadTarget<u16>,
    &'static mut Readings,
    WriteNext<&'static mut Readings>,
>;
type ToPwm = Transfer<
    Channel<CH2>,
    Channel<CH3>,
    &'static mut Duties,
    SliceDmaWriteCc<Pwm1, FreeRunning>,
    ReadNext<&'static mut Duties>,
>;

/// The microphone's pin.
pub type MicrophonePin = AdcPin<Pin<Gpio26, FunctionSioInput, PullNone>>;

/// State of the interrupt handler. Each transfer is taken out while it is handled, and put back.
struct Isr {
    from_adc: Option<FromAdc>,
    microphone: MicrophoneIsr,
    to_pwm: Option<ToPwm>,
    speaker: SpeakerIsr<PWM_PERIOD>,
}

static ISR: Handover<Isr> = Handover::new();

/// Starts both converters.
pub fn start(
    adc: Adc,
    pin: &mut MicrophonePin,
    mut pwm: Slice<Pwm1, FreeRunning>,
    mut dma: Channels,
) -> Option<(Microphone, Speaker)> {
    let (microphone, microphone_isr) = microphone(singleton!(: SampleQueue = SampleQueue::new())?);
    let (speaker, mut speaker_isr) = speaker(singleton!(: SampleQueue = SampleQueue::new())?);
    dma.ch0.enable_irq0();
    dma.ch1.enable_irq0();
    dma.ch2.enable_irq0();
    dma.ch3.enable_irq0();

    let adc = singleton!(: Adc = adc)?;
    let mut readings = adc
        .build_fifo()
        // The period is one cycle longer than the divider (section 4.9.2.2).
        .clock_divider((ADC_PERIOD - 1) as u16, 0)
        .set_channel(pin)
        .enable_dma()
        .start_paused();
    let first = singleton!(: Readings = [0; BLOCK_STEPS])?;
    let second = singleton!(: Readings = [0; BLOCK_STEPS])?;
    let from_adc = Config::new((dma.ch0, dma.ch1), readings.dma_read_target(), first)
        .start()
        .write_next(second);

    let first = singleton!(: Duties = [duty(0); BLOCK_STEPS])?;
    let second = singleton!(: Duties = [duty(0); BLOCK_STEPS])?;
    speaker_isr.fill(first, duty);
    speaker_isr.fill(second, duty);
    pwm.set_top((PWM_PERIOD - 1) as u16);
    pwm.enable();
    let to_pwm = Config::new((dma.ch2, dma.ch3), first, SliceDmaWrite::from(pwm).cc)
        .start()
        .read_next(second);

    let isr = Isr {
        from_adc: Some(from_adc),
        microphone: microphone_isr,
        to_pwm: Some(to_pwm),
        speaker: speaker_isr,
    };
    ISR.give(isr, Interrupt::DMA_IRQ_0);
    readings.resume();
    Some((microphone, speaker))
}

#[interrupt]
fn DMA_IRQ_0() {
    static mut KEPT: Option<Isr> = None;
    if KEPT.is_none() {
        *KEPT = ISR.take();
    }
    if let Some(isr) = KEPT {
        isr.serve();
    }
}

impl Isr {
    fn serve(&mut self) {
        if let Some(mut running) = self.from_adc.take() {
            if running.check_irq0() {
                // The interrupt says that it is over, so this does not wait.
                let (block, next) = running.wait();
                self.microphone.take(block);
                running = next.write_next(block);
            }
            self.from_adc = Some(running);
        }
        if let Some(mut running) = self.to_pwm.take() {
            if running.check_irq0() {
                let (block, next) = running.wait();
                self.speaker.fill(block, duty);
                running = next.read_next(block);
            }
            self.to_pwm = Some(running);
        }
    }
}

/// Returns a duty of channel A in the DMA's format. Channel B shares the word, and is not used.
const fn duty(a: u16) -> CcFormat {
    CcFormat { a, b: 0 }
}
