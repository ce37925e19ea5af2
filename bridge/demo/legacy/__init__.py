"""The demo's legacy order system: a WSGI application over a PostgreSQL schema of its time.

It was here first and knows nothing of Legacy Bridge: no triggers, no extra columns, no
idempotency keys. Its names are short, its timestamps have no zone, its flags are one character.
"""
