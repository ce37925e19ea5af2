"""The control plane over HTTP: the same acts as the command line, for programs."""
