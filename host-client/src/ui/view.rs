//! Draws the live view: a pure function of the snapshot and the last lines.

use super::{meter::meter, screen::Stay};
use crate::{config::rms_to_dbfs, events::RosterLine, participant::Snapshot};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph},
};
use std::collections::VecDeque;
use talkspurt_core::audio::gate::GateLevels;
use talkspurt_host_kit::words::clean;

/// Everything to draw.
pub(super) struct Scene<'a> {
    pub(super) stay: &'a Stay,
    pub(super) snapshot: &'a Snapshot,
    /// What happened, oldest first.
    pub(super) lines: &'a VecDeque<String>,
    pub(super) help: &'static str,
}

/// Draws the whole screen, whatever its size.
pub(super) fn draw(frame: &mut Frame<'_>, scene: &Scene<'_>) {
    let rows = Layout::vertical([
        Constraint::Length(6),
        Constraint::Min(4),
        Constraint::Length(1),
    ]);
    let [top, middle, bottom] = rows.areas(frame.area());
    let columns = Layout::horizontal([Constraint::Percentage(40), Constraint::Percentage(60)]);
    let [left, right] = columns.areas(middle);
    draw_sound(frame, top, scene);
    draw_roster(frame, left, scene.snapshot);
    draw_lines(frame, right, scene.lines);
    let help = Style::new().fg(Color::Black).bg(Color::Gray);
    frame.render_widget(Paragraph::new(scene.help).style(help), bottom);
}

fn draw_sound(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>) {
    let now = scene.snapshot;
    let place = format!(" {} on {} ", clean(&scene.stay.room), scene.stay.server);
    let block = Block::bordered().title(Span::styled(place, Modifier::BOLD));
    let width = usize::from(block.inner(area).width);
    let lines = vec![
        state_line(now),
        level_line(
            "you  ",
            now.input_rms,
            now.gate,
            now.talking && !now.muted,
            width,
        ),
        level_line("room ", now.output_rms, None, !now.deafened, width),
        numbers_line(now, width),
    ];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn state_line(now: &Snapshot) -> Line<'static> {
    let badge =
        |text: &'static str, color| Span::styled(text, Style::new().fg(Color::Black).bg(color));
    let mut spans = vec![match now.connected {
        true => badge(" in the room ", Color::Green),
        false => badge(" connecting ", Color::Yellow),
    }];
    let no_gate = now.gate.is_none() && now.key_held.is_none();
    let more = [
        (now.talking && !now.muted, badge(" talking ", Color::Green)),
        (now.muted, badge(" muted ", Color::Red)),
        (now.deafened, badge(" deaf ", Color::Red)),
        (
            now.key_held == Some(false),
            badge(" push to talk ", Color::Yellow),
        ),
        (no_gate, badge(" no gate ", Color::Yellow)),
        (now.too_quiet, badge(" too quiet: press ↓ ", Color::Red)),
    ];
    for (_, span) in more.into_iter().filter(|(shown, _)| *shown) {
        spans.extend([Span::raw(" "), span]);
    }
    Line::from(spans)
}

/// A name, a meter of the remaining width, and the number.
fn level_line(
    name: &'static str,
    rms: u16,
    gate: Option<GateLevels>,
    bright: bool,
    width: usize,
) -> Line<'static> {
    let number = format!(" {:>5.1} dB", rms_to_dbfs(rms));
    let room = width.saturating_sub(name.len() + number.len());
    let mut spans = vec![Span::raw(name)];
    if room > 0 {
        spans.extend(meter(rms, gate, bright, room));
    }
    spans.push(Span::raw(number));
    Line::from(spans)
}

/// The most important parts come first; those that do not fit are left out.
fn numbers_line(now: &Snapshot, width: usize) -> Line<'static> {
    let mut parts = Vec::new();
    if now.frame_ms > 0 {
        let round_trip = now
            .round_trip_ms
            .map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        parts.push(format!("{} {} ms", now.codec, now.frame_ms));
        parts.extend(now.delay_ms.map(|ms| format!("delay {ms} ms")));
        parts.extend([
            format!("round trip {round_trip} ms"),
            format!("playout {} ms", now.playout_ms),
        ]);
    }
    if let Some(gate) = now.gate {
        let (open, close) = (rms_to_dbfs(gate.open_rms), rms_to_dbfs(gate.close_rms));
        parts.push(format!("gate {open:.0}/{close:.0} dB"));
        let noise = gate.noise_rms.map(rms_to_dbfs);
        parts.extend(noise.map(|noise| format!("noise {noise:.0} dB")));
    }
    let counts = &now.counts;
    if now.frame_ms > 0 || counts.reconnects > 0 {
        parts.extend([
            format!("lost {}", counts.packets_lost),
            format!("concealed {}", counts.frames_concealed),
            format!("reconnects {}", counts.reconnects),
        ]);
    }
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { "  " };
        if line.len() + gap.len() + part.len() > width {
            break;
        }
        line.push_str(gap);
        line.push_str(&part);
    }
    Line::from(line)
}

fn draw_roster(frame: &mut Frame<'_>, area: Rect, now: &Snapshot) {
    let block = Block::bordered().title(format!(" {} in the room ", now.roster.len()));
    let height = usize::from(block.inner(area).height);
    let mut shown: Vec<&RosterLine> = now.roster.iter().collect();
    // Talkers come first, so that they are visible in a long roster.
    shown.sort_by_key(|line| (!line.talking, line.id));
    let is_cut = shown.len() > height;
    let visible = height.saturating_sub(usize::from(is_cut));
    let mut lines: Vec<_> = shown
        .iter()
        .take(visible)
        .map(|line| roster_line(line, now.id))
        .collect();
    if is_cut {
        lines.push(Line::from(format!("  and {} more", shown.len() - visible)));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn roster_line(line: &RosterLine, own_id: u32) -> Line<'static> {
    let (mark, color) = match (line.talking, line.muted) {
        (true, _) => ("● ", Color::Green),
        (false, true) => ("✕ ", Color::Red),
        (false, false) => ("○ ", Color::DarkGray),
    };
    let you = if line.id == own_id { " (you)" } else { "" };
    let muted = if line.muted { " muted" } else { "" };
    Line::from(vec![
        Span::styled(mark, color),
        Span::raw(format!("{}{you}{muted}", clean(&line.name))),
    ])
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, lines: &VecDeque<String>) {
    let block = Block::bordered().title(" what happened ");
    let inner = block.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let mut rows = VecDeque::new();
    for line in lines.iter().rev() {
        for row in wrapped(line, width).into_iter().rev() {
            rows.push_front(Line::from(row));
        }
        if rows.len() >= height {
            break;
        }
    }
    let shown: Vec<_> = rows.split_off(rows.len().saturating_sub(height)).into();
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

/// Wraps a line to rows of at most `width` columns, between words where possible. Later rows are
/// indented.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    const INDENT: &str = "  ";
    if width <= 2 * INDENT.len() {
        return vec![line.to_owned()];
    }
    let options = textwrap::Options::new(width)
        .subsequent_indent(INDENT)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let rows = textwrap::wrap(line, options).into_iter();
    rows.map(|row| row.into_owned()).collect()
}

#[cfg(test)]
pub(super) mod tests;
