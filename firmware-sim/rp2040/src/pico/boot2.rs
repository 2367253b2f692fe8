//! The first 256 bytes of the flash, which bring up the rest of it.
#![allow(unsafe_code)] // Where it lies in the flash is the linker's business.

/// For the Pico's W25Q16JV; other boards may need another one of the crate's.
// SAFETY: memory.x puts this section, and nothing else, where the boot ROM looks for these 256
// bytes.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;
