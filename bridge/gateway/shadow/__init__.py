"""Copies of requests to the other side, and the comparison of both answers."""
