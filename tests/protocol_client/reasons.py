"""The reasons of Reject and Bye that the client itself knows."""

LEAVING, BAD_VERSION, MALFORMED, NOT_FOR_NOW = 0, 1, 8, 9
# From here on a client may try again.
TRY_AGAIN = 128
NAME_TAKEN, IDLE, CLOSED, NO_PACKETS = 129, 134, 137, 139
