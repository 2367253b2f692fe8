//! What the user can set about the own voice, and what of it reaches the gate.

use crate::config::{GateSettings, JoinConfig};
use talkspurt_core::{audio::gate::GateConfig, session::SessionParams};

/// What the user can set about the own voice.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct VoiceSettings {
    pub(in crate::net) gate: GateSettings,
    pub(in crate::net) muted: bool,
    /// Whether the key of push-to-talk is held; `None` without push-to-talk.
    pub(in crate::net) key_held: Option<bool>,
    pub(in crate::net) playout_delay_ms: u16,
}

impl VoiceSettings {
    pub(in crate::net) fn of(config: &JoinConfig) -> Self {
        Self {
            gate: config.gate,
            muted: config.muted,
            key_held: config.push_to_talk.then_some(false),
            playout_delay_ms: config.playout_delay_ms,
        }
    }

    /// Whether a gate decides what is sent: push-to-talk sends whatever the level.
    pub(in crate::net) fn is_gated(&self) -> bool {
        self.gate.enabled && self.key_held.is_none()
    }

    /// Whether what is said may be kept back for being quiet.
    pub(in crate::net) fn may_be_too_quiet(&self) -> bool {
        self.is_gated() && !self.is_off()
    }

    /// The gate of a session with these parameters.
    pub(in crate::net) fn gate_config(&self, params: &SessionParams) -> GateConfig {
        let gate = &self.gate;
        GateConfig {
            open_rms: gate.open.rms,
            close_rms: gate.close.rms,
            window_frames: gate.window_frames,
            enabled: self.is_gated(),
            ..GateConfig::default_for(params.frame)
        }
    }

    /// Whether nothing is sent, whatever is said.
    pub(in crate::net) fn is_off(&self) -> bool {
        self.muted || self.key_held == Some(false)
    }
}
