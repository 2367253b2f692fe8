//! The board: a Raspberry Pi Pico, with the pins listed in docs/FIRMWARE.md.

mod boot2;
mod clocks;
mod interrupts;
#[cfg(feature = "log")]
pub mod log;
mod sound;
mod uart;

use embedded_hal::digital::OutputPin;
use rp2040_hal::Sio;
use rp2040_hal::adc::{Adc, AdcPin};
use rp2040_hal::dma::DMAExt;
use rp2040_hal::gpio::bank0::Gpio25;
use rp2040_hal::gpio::{FunctionSioOutput, Pin, PinState, Pins, PullDown};
use rp2040_hal::pac;
use rp2040_hal::pwm::Slices;
use rp2040_hal::timer::Timer;
use rp2040_hal::watchdog::Watchdog;
use talkspurt_rp2040::sound::{Microphone, Speaker};

/// The parts of the board that the loop needs, running except for the watchdog.
pub struct Pico {
    pub port: uart::Port,
    pub microphone: Microphone,
    pub speaker: Speaker,
    pub timer: Timer,
    pub watchdog: Watchdog,
    /// Tells this start from earlier ones.
    pub start_number: u32,
    pub led: Led,
}

/// The LED on the board.
pub struct Led(Pin<Gpio25, FunctionSioOutput, PullDown>);

impl Pico {
    /// Starts clocks, serial port and sound. Returns `None` at the second call, and if the clocks
    /// do not start.
    pub fn start(baud: u32) -> Option<Self> {
        let mut peripherals = pac::Peripherals::take()?;
        let resets = &mut peripherals.RESETS;
        let mut watchdog = Watchdog::new(peripherals.WATCHDOG);
        let clocks = clocks::start(
            peripherals.XOSC,
            peripherals.CLOCKS,
            (peripherals.PLL_SYS, peripherals.PLL_USB),
            resets,
            &mut watchdog,
        )?;
        let start_number = random(&peripherals.ROSC);
        let timer = Timer::new(peripherals.TIMER, resets, &clocks);
        let sio = Sio::new(peripherals.SIO);
        let pins = Pins::new(
            peripherals.IO_BANK0,
            peripherals.PADS_BANK0,
            sio.gpio_bank0,
            resets,
        );
        // High keeps the board's regulator at its fixed frequency: less ripple on the ADC's supply
        // than when it saves power at a small load (Pico data sheet, section 4.4). It stays high
        // after the pin is dropped.
        let _ = pins.gpio23.into_push_pull_output_in_state(PinState::High);
        #[cfg(feature = "log")]
        log::start(
            peripherals.UART1,
            (pins.gpio4.reconfigure(), pins.gpio5.reconfigure()),
            &clocks,
            resets,
        );
        let port = uart::start(
            peripherals.UART0,
            (pins.gpio0.reconfigure(), pins.gpio1.reconfigure()),
            baud,
            &clocks,
            resets,
        )?;
        let mut input = AdcPin::new(pins.gpio26.into_floating_input()).ok()?;
        let mut pwm = Slices::new(peripherals.PWM, resets).pwm1;
        pwm.channel_a.output_to(pins.gpio2);
        let adc = Adc::new(peripherals.ADC, resets);
        let dma = peripherals.DMA.split(resets);
        let (microphone, speaker) = sound::start(adc, &mut input, pwm, dma)?;
        Some(Self {
            port,
            microphone,
            speaker,
            timer,
            watchdog,
            start_number,
            led: Led(pins.gpio25.into_push_pull_output()),
        })
    }
}

/// Tells this start from others: bits of the ring oscillator, which runs from power-up (RP2040 data
/// sheet, section 2.17.5), taken at intervals of 0.1 ms, in which it drifts. They are not good
/// enough for keys.
fn random(oscillator: &pac::ROSC) -> u32 {
    (0..u32::BITS).fold(0, |bits, _| {
        cortex_m::asm::delay(12_500);
        bits << 1 | u32::from(oscillator.randombit().read().randombit().bit())
    })
}

impl Led {
    /// Turns the LED on.
    pub fn on(&mut self) {
        // A pin of the chip itself cannot fail.
        let _ = self.0.set_high();
    }

    /// Turns the LED off.
    pub fn off(&mut self) {
        // A pin of the chip itself cannot fail.
        let _ = self.0.set_low();
    }
}
