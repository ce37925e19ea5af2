"""`python -m bridge.cli` is `legacy-bridge`; the supervisor starts its roles this way."""

from bridge.cli.main import main

main()
