//! The chip's clocks: 128 MHz for the processor, and 48 MHz for the ADC, from one crystal.
//!
//! The processor runs at 128 MHz instead of the usual 125, because 64 kHz divides it: PWM and ADC
//! then step at exactly the same rate, and microphone and speaker never drift apart. The chip is
//! specified for up to 133 MHz (RP2040 data sheet, chapter 1).

use fugit::{HertzU32, RateExtU32};
use rp2040_hal::Clock;
use rp2040_hal::clocks::ClocksManager;
use rp2040_hal::pac::{CLOCKS, PLL_SYS, PLL_USB, RESETS, XOSC};
use rp2040_hal::pll::common_configs::PLL_USB_48MHZ;
use rp2040_hal::pll::{PLLConfig, setup_pll_blocking};
use rp2040_hal::watchdog::Watchdog;
use rp2040_hal::xosc::setup_xosc_blocking;

/// The Pico's crystal.
const CRYSTAL_MHZ: u8 = 12;
/// Clock of the processor, the PWM and the UART.
pub const SYSTEM_HZ: u32 = 128_000_000;
/// Clock of the ADC.
pub const ADC_HZ: u32 = 48_000_000;

/// 12 MHz * 128 / 6 / 2 (RP2040 data sheet, section 2.18.2).
const PLL_SYS_128MHZ: PLLConfig = PLLConfig {
    vco_freq: HertzU32::MHz(CRYSTAL_MHZ as u32 * 128),
    refdiv: 1,
    post_div1: 6,
    post_div2: 2,
};

const _: () = assert!(CRYSTAL_MHZ as u32 * 1_000_000 * 128 / 6 / 2 == SYSTEM_HZ);

/// Starts the clocks and the watchdog's tick, which is the timer's microsecond.
pub fn start(
    crystal: XOSC,
    clocks: CLOCKS,
    plls: (PLL_SYS, PLL_USB),
    resets: &mut RESETS,
    watchdog: &mut Watchdog,
) -> Option<ClocksManager> {
    let crystal = setup_xosc_blocking(crystal, u32::from(CRYSTAL_MHZ).MHz()).ok()?;
    watchdog.enable_tick_generation(CRYSTAL_MHZ);
    let mut clocks = ClocksManager::new(clocks);
    let hz = crystal.operating_frequency();
    let system = setup_pll_blocking(plls.0, hz, PLL_SYS_128MHZ, &mut clocks, resets).ok()?;
    let usb = setup_pll_blocking(plls.1, hz, PLL_USB_48MHZ, &mut clocks, resets).ok()?;
    clocks.init_default(&crystal, &system, &usb).ok()?;
    let exact = clocks.system_clock.freq() == SYSTEM_HZ.Hz::<1, 1>()
        && clocks.adc_clock.freq() == ADC_HZ.Hz::<1, 1>();
    exact.then_some(clocks)
}
