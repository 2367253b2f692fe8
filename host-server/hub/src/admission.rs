//! Who waits to be let in, and why someone is not.

use talkspurt_core::session::HelloRequest;
use talkspurt_core::wire::Reason;

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
#[non_exhaustive]
pub struct Incoming {
    /// The link over which it was said.
    pub link: LinkId,
    /// What is asked for.
    pub request: HelloRequest,
}

/// Returns why a Hello cannot be granted, and what to do about it. `participants` are those in all
/// rooms; `room` is the one that is asked for, if it exists already. Whoever replaces their own
/// session takes its place and its name.
pub fn objection(
    config: &HubConfig,
    is_stopping: bool,
    participants: usize,
    room: Option<&Room>,
    is_replacing: bool,
    request: &HelloRequest,
) -> Option<(Reason, String)> {
    let &HubConfig {
        max_participants,
        room_capacity,
        idle_timeout,
        ..
    } = config;
    Some(if is_stopping {
        let text = "the server is stopping: try again in a moment";
        (Reason::STOPPING, text.to_owned())
    } else if let Some(what) = printable::objection(&request.room) {
        (Reason::BAD_ROOM, format!("the room's name {what}"))
    } else if request.credentials.is_none() {
        let text = "the credentials are too long: this server asks for none";
        (Reason::BAD_CREDENTIALS, text.to_owned())
    } else if let Some(what) = printable::objection(&request.name) {
        (Reason::BAD_NAME, format!("the name {what}"))
    } else if is_replacing {
        return None;
    } else if room.is_some_and(|room| room.has_name(&request.name)) {
        let wait_secs = idle_timeout.as_millis().div_ceil(1_000);
        let text = format!(
            "the name is taken in this room: choose another, or wait {wait_secs} s if it was yours"
        );
        (Reason::NAME_TAKEN, text)
    } else if participants >= max_participants {
        let text =
            format!("all {max_participants} places on this server are taken: try again later");
        (Reason::SERVER_FULL, text)
    } else if room.is_some_and(|room| room.members().len() >= room_capacity) {
        let text = format!(
            "all {room_capacity} places in this room are taken: choose another room, \
             or try again later"
        );
        (Reason::ROOM_FULL, text)
    } else {
        return None;
    })
}
