"""What to ask a server's pgoutput for, by its version: never more than it knows."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from bridge.model.errors import SourceUnfit

OriginFilter: TypeAlias = Literal["any", "none"]
"""Which transactions to send: all, or only those that did not come from another server."""

# Major versions from which pgoutput knows an option; a server refuses one that it does not know.
MESSAGES_FROM: Final = 14
STREAMING_FROM: Final = 14
ORIGIN_FROM: Final = 16


def pgoutput_options(
    server_version: int,
    publications: Sequence[str],
    *,
    streaming: bool,
    origin: OriginFilter = "any",
) -> Mapping[str, str]:
    """Return the options of START_REPLICATION; `server_version` as libpq gives it (150018).

    Protocol 1, which 10 to 13 speak too, when streaming is not wanted or not known there. Two-phase
    decoding stays off: a prepared transaction then comes at its COMMIT PREPARED, as any other.

    Raises `SourceUnfit` when the server is too old for `origin`.
    """
    major = server_version // 10_000
    if origin != "any" and major < ORIGIN_FROM:
        raise SourceUnfit(
            f"cannot leave out transactions from elsewhere: PostgreSQL {major} has no origin "
            f"filter, {ORIGIN_FROM} is the first with one; set the source's `origin: any`"
        )
    streams = streaming and major >= STREAMING_FROM
    options = {
        "proto_version": "2" if streams else "1",
        # Each name is an identifier in double quotes: it may hold commas.
        "publication_names": ",".join(_quoted(name) for name in publications),
    }
    if streams:
        options["streaming"] = "on"
    if major >= MESSAGES_FROM:
        options["messages"] = "true"
    if origin != "any":
        options["origin"] = origin
    return options


def format_options(options: Mapping[str, str]) -> str:
    """Return `options` as the replication command takes them."""
    escaped = {name: value.replace("'", "''") for name, value in options.items()}
    return ", ".join(f"{name} '{value}'" for name, value in escaped.items())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
