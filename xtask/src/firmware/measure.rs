//! `cargo xtask firmware measure`: what the image and the core take (flash, RAM, stack,
//! instructions, the line), where it goes, and whether that is as good as what was kept.

use anyhow::{Result, ensure};
use talkspurt_testkit::board::{BOARDS, Board, image_folder};

use super::areas::{self, Areas};
use super::elf::Elf;
use super::{build, core_alone, cost, stack};
use crate::budget::{Budget, Figures, target};
use crate::report::{Verdict, table};
use crate::setup::{Purpose, ensure_for};

#[derive(clap::Args)]
pub struct Options {
    /// Keep these figures from now on
    #[arg(long)]
    update: bool,
    /// Leave out the deepest stack, which needs a server and half a minute
    #[arg(long, conflicts_with = "update")]
    no_stack: bool,
}

/// What a figure may be at most, by the end of its name. What sealed sessions will need (14.3 KB of
/// flash, 20,500 instructions a frame) is left free; with them it is 56 KiB of flash, 18 KiB of RAM
/// and stack, and 110,000 instructions (135,000 in the worst frame). The core alone has grown by
/// its gate, which follows the noise, and by concealment.
const TARGETS: [(&str, u64); 9] = [
    ("/image_flash_bytes", 43_000),
    ("/image_ram_and_stack_bytes", 17_700),
    ("thumbv6m-none-eabi/core_flash_bytes", 21 * 1024),
    ("thumbv6m-none-eabi/core_ram_bytes", 9 * 1024),
    ("/loop_talking_and_listening", 89_500),
    ("/loop_talking_and_listening_worst", 114_500),
    // 50 packets of 180 bytes, and a Ping of 12 bytes every 5 s, rounded up.
    ("/link_adpcm_talking_bytes_per_s", 9_003),
    ("/link_adpcm_silent_bytes_per_s", 40),
    ("/link_pcm16_silent_bytes_per_s", 40),
];

/// `cargo xtask firmware measure`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Build, Purpose::Firmware])?;
    let mut figures = Figures::new();
    for board in BOARDS {
        eprintln!(
            "\n==> the image for {} ({})",
            board.machine, board.processor
        );
        image(&board, &mut figures)?;
        cost::measure(&board, &mut figures)?;
    }
    eprintln!("\n==> the core alone");
    for (target, areas) in core_alone::measure(&mut figures)? {
        print_areas(&format!("the core alone for {target}: flash"), &areas);
    }
    if !options.no_stack {
        eprintln!("\n==> the deepest stack, of two boards that talk to each other");
        stack::measure(&mut figures)?;
    }
    let path = &image_folder().join("budget.json");
    let budget = Budget {
        path,
        targets: &TARGETS,
        column: ("target", target_text),
    };
    budget.judge(&figures, options.update, |name| {
        !options.no_stack || !name.contains("stack")
    })
}

fn target_text(name: &str, _: u64) -> String {
    target(&TARGETS, name).map_or("-".to_owned(), |most| most.to_string())
}

/// Flash and static RAM of the image, and where they go.
fn image(board: &Board, figures: &mut Figures) -> Result<()> {
    let program = build::node(board)?;
    let elf = Elf::read(&program)?;
    let on = board.machine;
    let (flash, ram) = (areas::flash(&program, &elf)?, areas::ram(&elf));
    let sum: u64 = flash.values().sum();
    ensure!(
        sum == elf.flash_bytes(),
        "{sum} bytes of flash were found a place, and there are {}",
        elf.flash_bytes()
    );
    print_areas(&format!("{on}: flash of the image"), &flash);
    print_areas(&format!("{on}: static RAM of the image"), &ram);
    figures.insert(format!("{on}/image_flash_bytes"), elf.flash_bytes());
    figures.insert(format!("{on}/image_ram_bytes"), elf.ram_bytes());
    Ok(())
}

fn print_areas(title: &str, areas: &Areas) {
    let mut sorted: Vec<(&String, &u64)> = areas.iter().collect();
    sorted.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let mut table = table([title, "bytes"]);
    for (area, bytes) in sorted {
        table.add_row([area.clone(), bytes.to_string()]);
    }
    let sum: u64 = areas.values().sum();
    table.add_row(["all".to_owned(), sum.to_string()]);
    println!("\n{table}");
}
