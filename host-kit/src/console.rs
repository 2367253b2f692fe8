//! Standard output and error that may be closed, full or unread, and the log on them.
