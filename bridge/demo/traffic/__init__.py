"""Clients of the shop: seeded traffic, a journal of what they were told, and its checker."""
