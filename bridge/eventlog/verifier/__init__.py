"""The separate verifier: one file that auditors copy, read and run without the gateway."""
