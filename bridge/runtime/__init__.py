"""Settings, wiring, supervisor and telemetry: what turns rooms and adapters into running roles."""
