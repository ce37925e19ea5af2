"""A person at a shell: thin commands over the wiring; `--json` beside every table."""
