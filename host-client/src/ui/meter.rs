//! A one-line level meter with the gate's thresholds marked.

use crate::config::{Threshold, rms_to_dbfs};
use ratatui::{
    style::{Color, Style},
    text::Span,
};

/// Left end of the scale. The noise of a quiet office is near -60 dBFS.
const SCALE_FROM_DBFS: f64 = -66.0;

/// Returns the meter's cells. `gate` is (open, close); `open` colours the bar to show that sound is
/// being sent.
pub(super) fn meter(
    rms: u16,
    gate: Option<(Threshold, Threshold)>,
    open: bool,
    width: usize,
) -> Vec<Span<'static>> {
    let filled = position(rms, width);
    let marks = gate.map(|(open, close)| (position(open.rms, width), position(close.rms, width)));
    let bar = if open { Color::Green } else { Color::DarkGray };
    (0..width)
        .map(|cell| {
            let is_filled = cell < filled;
            let (symbol, color) = match marks {
                Some((open, _)) if cell == open.min(width - 1) => ("┃", Color::Yellow),
                Some((_, close)) if cell == close.min(width - 1) => ("│", Color::Blue),
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
        let gate =
            gate.map(|(open, close)| (Threshold::from_rms(open), Threshold::from_rms(close)));
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
        // A threshold at full scale is still visible.
        assert!(text(0, Some((32_767, 0))).ends_with('┃'));
    }
}
