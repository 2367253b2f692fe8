//! `talkspurt-load`: puts a load on a Talkspurt server and states what it costs, what arrives and
//! how late.
//!
//! | module | owns |
//! |---|---|
//! | [`cli`], [`plan`] | what was asked for: flags, presets; who sits in which room and talks |
//! | [`marker`], [`ledger`] | the marked frames: their samples; which were sent, who has heard which, how late |
//! | [`speech`] | what talkers say, and whose turn it is to mark a frame |
//! | [`peer`], [`generator`] | the participants on their sockets; the one loop that paces them all |
//! | [`crowd`] | those who flicker beside the load, and newcomers |
//! | [`floor`], [`poller`] | the bare server to compare with; what it and the generator sleep in |
//! | [`service`], [`pinning`], [`procfs`], [`counters`] | the processes under load; where they run; what the operating system and the server say of them |
//! | [`round`], [`percentile`], [`figures`] | one measurement; many of them in a few figures |
//! | [`targets`], [`report`] | what the figures must be; how they are told |
//!
//! Linux only: it reads `/proc` and sleeps in `epoll`.

use std::process::ExitCode;

use anyhow::Context;
use talkspurt_host_kit::console::LogFormat;
use talkspurt_host_kit::environment;

use crate::cli::{Cli, Command};

mod cli;
mod counters;
mod crowd;
mod figures;
mod floor;
mod generator;
mod ledger;
mod marker;
mod peer;
mod percentile;
mod pinning;
mod plan;
mod poller;
mod procfs;
mod report;
mod round;
mod service;
mod speech;
mod stall;
mod targets;

fn main() -> ExitCode {
    let cli: Cli = environment::parse();
    let _log = environment::start_log("info", LogFormat::Text { module: false });
    run(&cli).unwrap_or_else(|error| {
        eprintln!("talkspurt-load: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    // A thousand connections need more than the usual 1,024.
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    if let Some(Command::FloorServer { listen, frame_ms }) = cli.command {
        match floor::serve(listen, frame_ms)? {}
    }
    let mut order = cli.order()?;
    round::take_announced_frame(&mut order)?;
    let rounds = round::run_all(&order)?;
    let report = report::Report::new(&order, &rounds);
    let table = report.to_table(&order);
    if cli.json {
        println!("{}", serde_json::to_string(&report)?);
        eprintln!("{table}");
    } else {
        println!("{table}");
    }
    let is_missed = cli.check && !report.all_met();
    Ok(ExitCode::from(u8::from(is_missed)))
}
