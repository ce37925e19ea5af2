"""Capture by asking again: for databases that offer no stream of their changes."""
