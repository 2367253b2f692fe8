//! Sound files in, at a session's rate, and recordings out.
