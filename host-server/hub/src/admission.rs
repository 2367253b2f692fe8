//! Who waits to be let in, and why someone is not.

use talkspurt_core::session::HelloRequest;
use talkspurt_core::wire::Reason;

use crate::config::HubConfig;
use crate::ids::LinkId;
use crate::names;
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

/// Judges what a Hello says of itself, and puts its names into the form in which they are compared.
///
/// # Errors
/// Why it cannot be granted, whoever is in the room, and what to do about it.
pub fn judge(mut request: HelloRequest) -> Result<HelloRequest, (Reason, String)> {
    let of_room = |what| (Reason::BAD_ROOM, format!("the room's name {what}"));
    request.room = names::judge(&request.room).map_err(of_room)?;
    if request.credentials.is_none() {
        let text = "the credentials are too long: this server asks for none";
        return Err((Reason::BAD_CREDENTIALS, text.to_owned()));
    }
    let of_name = |what| (Reason::BAD_NAME, format!("the name {what}"));
    request.name = names::judge(&request.name).map_err(of_name)?;
    Ok(request)
}

/// Returns why there is no place for someone, and what to do about it. `participants` are those in
/// all rooms; `room` is the one that is asked for, if it exists already.
pub fn objection(
    config: &HubConfig,
    participants: usize,
    room: Option<&Room>,
    name: &str,
) -> Option<(Reason, String)> {
    let (places, room_places) = (config.max_participants, config.room_capacity);
    Some(
        if let Some(taken) = room.and_then(|room| room.namesake(name)) {
            let wait_secs = config.idle_timeout.as_millis().div_ceil(1_000);
            let text = match &*taken.name == name {
                true => format!(
                    "the name is taken in this room: choose another, or wait {wait_secs} s if it was \
                 yours"
                ),
                false => format!("choose another name: {name} looks like {}", taken.name),
            };
            (Reason::NAME_TAKEN, text)
        } else if participants >= places {
            let text = format!("all {places} places on this server are taken: try again later");
            (Reason::SERVER_FULL, text)
        } else if room.is_some_and(|room| room.members().len() >= room_places) {
            let text = format!(
                "all {room_places} places in this room are taken: choose another room, or try again \
             later"
            );
            (Reason::ROOM_FULL, text)
        } else {
            return None;
        },
    )
}
