"""What a server's errors mean for capture: by SQLSTATE, because texts are in the server's language.

Whatever is not listed is worth another try: a server that changes its mind is the rule, and a
wrong retry costs a log line, a wrong stop an outage. Pure.
"""

from enum import Enum
from typing import Final, NamedTuple


class Doing(Enum):
    """Who can do something about an error."""

    RETRY = "retry"  # It passes by itself; with backoff, without end.
    JUDGE = "judge"  # The place in the stream is in doubt: prepare again, which tells a gap.
    OPERATOR = "operator"  # A person must change something first.


class Meaning(NamedTuple):
    """What an error means."""

    condition: str
    """PostgreSQL's own name of the condition, or of its class."""
    doing: Doing
    advice: str
    """The next step, for an operator; empty when the server's own words say it."""

    @property
    def retry(self) -> bool:
        """Whether the same may succeed later without a person."""
        return self.doing is not Doing.OPERATOR


_RETRY, _JUDGE, _OPERATOR = Doing.RETRY, Doing.JUDGE, Doing.OPERATOR

STATES: Final = {
    "0A000": Meaning(
        "feature_not_supported",
        _OPERATOR,
        "this server's version lacks it; `legacy-bridge doctor` tells which settings fit",
    ),
    "22021": Meaning(
        "character_not_in_repertoire",
        _OPERATOR,
        "a stored text does not fit the database's own encoding; correct the row, or leave its "
        "column out",
    ),
    "22P05": Meaning(
        "untranslatable_character",
        _OPERATOR,
        "a stored text has no equivalent in UTF-8; correct the row, or leave its column out",
    ),
    "25006": Meaning(
        "read_only_sql_transaction",
        _OPERATOR,
        "the server is a standby; create the publications on its primary",
    ),
    "28000": Meaning("invalid_authorization_specification", _OPERATOR, ""),
    "28P01": Meaning("invalid_password", _OPERATOR, ""),
    "3D000": Meaning("invalid_catalog_name", _OPERATOR, "correct the database in the DSN"),
    "40001": Meaning("serialization_failure", _RETRY, ""),
    "40P01": Meaning("deadlock_detected", _RETRY, ""),
    "42501": Meaning(
        "insufficient_privilege",
        _OPERATOR,
        "`legacy-bridge doctor` prints the GRANT that is missing",
    ),
    "42601": Meaning(
        "syntax_error", _OPERATOR, "this server does not know the command; is it supported?"
    ),
    "42704": Meaning(
        "undefined_object",
        _JUDGE,
        "a slot, publication or type is gone; it is looked at again",
    ),
    "42710": Meaning(
        "duplicate_object", _RETRY, "another capture made it at the same moment; it is used then"
    ),
    "42P01": Meaning("undefined_table", _OPERATOR, "correct the contract's mapping"),
    "53000": Meaning("insufficient_resources", _RETRY, "the source itself is short of something"),
    "53100": Meaning(
        "disk_full",
        _RETRY,
        "the source's disk is full: make room there first; `legacy-bridge status` tells how much "
        "WAL our slot holds",
    ),
    "53200": Meaning("out_of_memory", _RETRY, "the source is out of memory"),
    "53300": Meaning(
        "too_many_connections",
        _RETRY,
        "capture needs two to four connections; raise max_connections or the role's limit",
    ),
    "53400": Meaning(
        "configuration_limit_exceeded",
        _OPERATOR,
        "raise max_replication_slots or max_wal_senders, or drop a slot that nobody reads",
    ),
    "55000": Meaning(
        "object_not_in_prerequisite_state",
        _OPERATOR,
        "a setting does not allow it; `legacy-bridge doctor` tells which",
    ),
    "55006": Meaning(
        "object_in_use",
        _RETRY,
        "somebody reads the slot; it is free once that reader ends, or wal_sender_timeout after "
        "it died",
    ),
    "55P03": Meaning(
        "lock_not_available", _RETRY, "another session holds a lock for longer than lock_timeout"
    ),
    "57014": Meaning("query_canceled", _RETRY, "somebody cancelled it, or statement_timeout did"),
    "57P01": Meaning("admin_shutdown", _RETRY, "the server shuts down, or somebody ended us"),
    "57P02": Meaning("crash_shutdown", _RETRY, "the server recovers from a crash"),
    "57P03": Meaning("cannot_connect_now", _RETRY, "the server starts or stops"),
    "57P04": Meaning("database_dropped", _OPERATOR, "the database is gone; correct the DSN"),
    "57P05": Meaning("idle_session_timeout", _RETRY, ""),
    "58030": Meaning("io_error", _RETRY, "the source's disk fails; tell its administrator"),
    "58P01": Meaning(
        "undefined_file",
        _OPERATOR,
        "a file of the server is gone; if WAL was removed by hand, drop the slot: the gap is then "
        "recorded at the next start",
    ),
    "72000": Meaning("snapshot_too_old", _RETRY, "the chunk is read again in a new snapshot"),
    "P0001": Meaning(
        "raise_exception", _OPERATOR, "a trigger of the source refuses us; ask its administrator"
    ),
    "XX000": Meaning("internal_error", _RETRY, "the server's own log says more"),
    "XX001": Meaning(
        "data_corrupted",
        _OPERATOR,
        "the source's data is damaged: its administrator must look before anything is read",
    ),
    "XX002": Meaning(
        "index_corrupted",
        _OPERATOR,
        "an index of the source is damaged: its administrator must REINDEX",
    ),
}
"""By five characters; looked up before the class."""

CLASSES: Final = {
    "08": Meaning("connection_exception", _RETRY, ""),
    "0A": Meaning("feature_not_supported", _OPERATOR, ""),
    "22": Meaning("data_exception", _RETRY, ""),
    "28": Meaning("invalid_authorization_specification", _OPERATOR, ""),
    "3D": Meaning("invalid_catalog_name", _OPERATOR, ""),
    "3F": Meaning("invalid_schema_name", _OPERATOR, ""),
    "40": Meaning("transaction_rollback", _RETRY, ""),
    "42": Meaning("syntax_error_or_access_rule_violation", _OPERATOR, ""),
    "53": Meaning("insufficient_resources", _RETRY, ""),
    "54": Meaning("program_limit_exceeded", _OPERATOR, "a limit of the server is reached"),
    "55": Meaning("object_not_in_prerequisite_state", _RETRY, ""),
    "57": Meaning("operator_intervention", _RETRY, ""),
    "58": Meaning("system_error", _RETRY, "the source's machine fails; tell its administrator"),
    "F0": Meaning("config_file_error", _RETRY, "the server's configuration has an error"),
    "XX": Meaning("internal_error", _RETRY, "the server's own log says more"),
}
"""By the first two characters."""

_UNKNOWN: Final = Meaning("unknown", _RETRY, "")

# At the start of the stream these say that the slot, not a setting, is not what it was: it was
# checked a moment before.
_JUDGED_AT_START: Final = frozenset({"55000", "42704", "58P01"})


def meaning(state: str | None, *, starting: bool = False) -> Meaning:
    """Return what `state` means; None or empty when the server said none (a broken wire).

    `starting`: it was said to START_REPLICATION, right after the source was found fit.
    """
    if not state:
        return _UNKNOWN
    found = STATES.get(state) or CLASSES.get(state[:2], _UNKNOWN)
    if starting and state in _JUDGED_AT_START:
        return found._replace(doing=_JUDGE, advice="the slot is judged again")
    return found
