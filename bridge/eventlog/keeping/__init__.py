"""Keep what persons' data may be read: sealing, erasure, retention, legal hold."""
