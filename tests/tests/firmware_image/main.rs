//! The node as a firmware image on boards that QEMU emulates, behind its serial line and a bridge,
//! in a room with desktop clients. It is heard and hears, and recovers from whatever happens to the
//! line, the bridge, the server or itself. A loop that hangs is reset.

mod deadline;
mod rejoin;
mod scene;
mod speech;
