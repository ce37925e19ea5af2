"""Both sides read again after writes and key by key, and what differs brought back together."""
