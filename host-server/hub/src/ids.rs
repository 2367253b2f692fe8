//! Names for what the hub knows: they outlive what they name, and never come to name another.

slotmap::new_key_type! {
    /// A link to a peer, wherever it is. The one name that the hub's user knows.
    pub struct LinkId;
    /// A room.
    pub struct RoomId;
    /// A member's place in a room.
    pub struct MemberId;
}
