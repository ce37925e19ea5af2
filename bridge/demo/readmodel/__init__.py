"""The demo's new consumer: its own picture of the shop, built from the events alone."""
