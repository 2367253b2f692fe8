//! `cargo xtask firmware measure`: what the image and the core take (flash, RAM, stack, instructions, the line), where it goes, and
//! whether that is as good as what was kept.

use anyhow::{Result, ensure};
use talkspurt_testkit::board::{BOARDS, Board, image_folder};

use super::areas::{self, Areas};
use super::budget::{self, Figures, Judged};
use super::elf::Elf;
use super::{build, core_alone, cost, stack};
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
    let path = image_folder().join("budget.json");
    let mut kept = budget::read(&path)?;
    if options.no_stack {
        kept.retain(|name, _| !name.contains("stack"));
    }
    if options.update {
        budget::write(&path, &figures)?;
        kept.clone_from(&figures);
    }
    let judged = budget::judge(&figures, &kept);
    print(&judged);
    let good = judged.iter().all(|one| one.outcome.is_good());
    Ok(Verdict::from(good))
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

fn print(judged: &[Judged]) {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let mut table = table(["figure", "measured", "kept", "target", "outcome"]);
    for one in judged {
        table.add_row([
            one.name.clone(),
            number(one.measured),
            number(one.kept),
            number(one.target),
            one.outcome.text().to_owned(),
        ]);
    }
    println!("\n{table}");
}
