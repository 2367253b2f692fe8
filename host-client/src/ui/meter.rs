//! A one-line level meter with the gate's thresholds and the noise floor marked.

use crate::config::rms_to_dbfs;
use ratatui::{
    style::{Color, Style},
    text::Span,
};
use talkspurt_core::audio::gate::GateLevels;

/// Left end of the scale. The noise of a quiet office is near -60 dBFS.
const SCALE_FROM_DBFS: f64 = -66.0;

/// Returns the meter's cells. `open` colours the bar to show that sound is
/// being sent.
pub(super) fn meter(
    rms: u16,
    gate: Option<GateLevels>,
    open: bool,
    width: usize,
) -> Vec<Span<'static>> {
    let filled = position(rms, width);
    let cell_of = |rms| position(rms, width).min(width.saturating_sub(1));
    let marks = gate.map(|gate| (cell_of(gate.open_rms), cell_of(gate.close_rms)));
    let noise = gate.and_then(|gate| gate.noise_rms).map(cell_of);
    let bar = if open { Color::Green } else { Color::DarkGray };
    (0..width)
        .map(|cell| {
            let is_filled = cell < filled;
            let (symbol, color) = match marks {
                Some((open, _)) if cell == open => ("┃", Color::Yellow),
                Some((_, close)) if cell == close => ("│", Color::Blue),
                _ if noise == Some(cell) => ("┊", Color::Blue),
                _ if is_filled => ("█", bar),
                _ => ("·", Color::DarkGray),
            };
            let style = Style::new().fg(color);
            Span::styled(
                symbol,
                if is_filled && symbol != "█" {
                    style.bg(bar)
                } else {
                    style
                },
            )
        })
        .collect()
}

/// Returns how many of `width` cells a level fills.
fn position(rms: u16, width: usize) -> usize {
    let share = (rms_to_dbfs(rms) - SCALE_FROM_DBFS) / -SCALE_FROM_DBFS;
    (share.clamp(0.0, 1.0) * width as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rms: u16, gate: Option<(u16, u16)>) -> String {
        let gate = gate.map(|(open_rms, close_rms)| GateLevels {
            noise_rms: None,
            open_rms,
            close_rms,
        });
        cells(rms, gate)
    }

    fn cells(rms: u16, gate: Option<GateLevels>) -> String {
        meter(rms, gate, true, 22)
            .into_iter()
            .map(|span| span.content.into_owned())
            .collect()
    }

    #[test]
    fn the_bar_grows_with_the_level_and_shows_the_thresholds() {
        assert_eq!(text(0, None), "·".repeat(22));
        assert_eq!(text(32_767, None), "█".repeat(22));
        assert_eq!(text(0, Some((2_000, 500))), "··········│···┃·······");
        assert_eq!(text(8_000, Some((2_000, 500))), "██████████│███┃███····");
        let moving = GateLevels {
            noise_rms: Some(100),
            open_rms: 2_000,
            close_rms: 500,
        };
        assert_eq!(cells(0, Some(moving)), "·····┊····│···┃·······");
        // A threshold at full scale is still visible.
        assert!(text(0, Some((32_767, 0))).ends_with('┃'));
    }
}
