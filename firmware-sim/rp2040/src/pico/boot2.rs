//! The first 256 bytes of the flash, which make the rest of it accessible.
#![allow(unsafe_code)] // Its place in the flash is up to the linker.

/// For the Pico's W25Q16JV. Other boards may need another boot loader of the crate.
// SAFETY: memory.x puts this section, and nothing else, where the boot ROM looks for these 256
// bytes.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;
