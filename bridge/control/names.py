"""Stages and write states by the names that people type."""

from bridge.model.errors import ConfigInvalid
from bridge.model.stage import Stage
from bridge.model.write import WriteState


def stage_named(text: str) -> Stage:
    """Return the stage called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return Stage(text)
    except ValueError as exc:
        known = ", ".join(stage.value for stage in Stage)
        raise ConfigInvalid(f"no stage is called {text!r}; known: {known}") from exc


def write_state_named(text: str) -> WriteState:
    """Return the write state called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return WriteState(text)
    except ValueError as exc:
        known = ", ".join(state.value for state in WriteState)
        raise ConfigInvalid(f"no write state is called {text!r}; known: {known}") from exc
