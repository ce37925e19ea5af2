"""The one broker of a deployment."""

SINK = "rabbitmq"
"""Name of the one broker's cursor; it also names the sink in status and metrics."""
