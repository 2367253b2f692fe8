//! Who waits to be let in, and why someone is not.

use talkspurt_core::session::HelloRequest;
use talkspurt_core::wire::RejectReason;

use crate::config::HubConfig;
use crate::ids::LinkId;
use crate::printable;
use crate::room::Room;

/// A peer that has said a valid Hello and waits for the answer: [`Hub::admit`] or [`Hub::refuse`],
/// now or later. What the peer sends meanwhile waits, too.
///
/// [`Hub::admit`]: crate::Hub::admit
/// [`Hub::refuse`]: crate::Hub::refuse
#[derive(Debug)]
pub struct Incoming {
    link: LinkId,
    request: HelloRequest,
}

impl Incoming {
    pub(crate) fn new(link: LinkId, request: HelloRequest) -> Self {
        Self { link, request }
    }

    /// Returns the link over which it was said.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Returns what is asked for.
    pub fn request(&self) -> &HelloRequest {
        &self.request
    }
}

/// What an answer depends on beside the Hello.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// The limits.
    pub config: &'a HubConfig,
    /// Nobody is let in any more.
    pub is_stopping: bool,
    /// Participants in all rooms.
    pub participants: usize,
    /// The room that is asked for, if it exists already.
    pub room: Option<&'a Room>,
}

impl House<'_> {
    /// Returns why a Hello cannot be granted, and what to do about it.
    pub fn objection(&self, request: &HelloRequest) -> Option<(RejectReason, String)> {
        let &HubConfig {
            max_participants,
            room_capacity,
            idle_timeout,
            ..
        } = self.config;
        if self.is_stopping {
            Some((
                RejectReason::Stopping,
                "the server is stopping: try again in a moment".to_owned(),
            ))
        } else if let Some(what) = printable::objection(&request.room) {
            Some((RejectReason::BadRoom, format!("the room's name {what}")))
        } else if let Some(what) = printable::objection(&request.name) {
            Some((RejectReason::BadName, format!("the name {what}")))
        } else if self.room.is_some_and(|room| room.has_name(&request.name)) {
            let wait_secs = idle_timeout.as_millis().div_ceil(1_000);
            let text = format!(
                "the name is taken in this room: choose another, \
                 or wait {wait_secs} s if it was yours"
            );
            Some((RejectReason::NameTaken, text))
        } else if self.participants >= max_participants {
            let text =
                format!("all {max_participants} places on this server are taken: try again later");
            Some((RejectReason::ServerFull, text))
        } else if self
            .room
            .is_some_and(|room| room.members().len() >= room_capacity)
        {
            let text = format!(
                "all {room_capacity} places in this room are taken: choose another room, \
                 or try again later"
            );
            Some((RejectReason::RoomFull, text))
        } else {
            None
        }
    }
}
