"""How subjects, versions and event types are spelled.

A routing key is `domain.entity.event.vMAJOR`; each word is short enough that the whole stays far
below AMQP's 255 bytes, and none may hold an id. The minor version stands in `dataschema` only.
"""

import re

from bridge.model.change import ChangeKind

_WORD = r"[a-z][a-z0-9-]{0,30}"
_SUBJECT = re.compile(rf"{_WORD}\.{_WORD}")
_VERSION = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
_TYPE_PREFIX = re.compile(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*")
_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

SUBJECT_FORM = "'domain.entity', each word [a-z][a-z0-9-]* of at most 31 characters"
VERSION_FORM = "'major.minor', for example '1.0'"


def is_subject(text: str) -> bool:
    """Whether `text` is `domain.entity`."""
    return _SUBJECT.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether `text` is `major.minor`, the major from 1 on, without leading zeros."""
    return _VERSION.fullmatch(text) is not None


def is_type_prefix(text: str) -> bool:
    """Whether `text` may stand before the four words of an event type, e.g. `com.example`."""
    return _TYPE_PREFIX.fullmatch(text) is not None


def is_source(text: str) -> bool:
    """Whether `text` may name a source: it stands in event ids and URNs as it is."""
    return _SOURCE.fullmatch(text) is not None


def is_field(text: str) -> bool:
    """Whether `text` may name a field of an event."""
    return _FIELD.fullmatch(text) is not None


def version_numbers(version: str) -> tuple[int, int]:
    """Return (major, minor) of a version that `is_version`."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def routing_key(subject: str, version: str, kind: ChangeKind) -> str:
    """Return `domain.entity.event.vMAJOR`."""
    return f"{subject}.{kind.value}.v{version_numbers(version)[0]}"


def data_schema_urn(subject: str, version: str) -> str:
    """Return the `dataschema` of events under this contract."""
    return f"urn:legacy-bridge:contract:{subject}:{version}"


def parse_data_schema_urn(urn: str) -> tuple[str, str] | None:
    """Return (subject, version) that `urn` names, or None when it is not ours."""
    head, _, version = urn.rpartition(":")
    prefix, _, subject = head.rpartition(":")
    if prefix != "urn:legacy-bridge:contract" or not is_subject(subject):
        return None
    return (subject, version) if is_version(version) else None


def source_urn(source: str) -> str:
    """Return the CloudEvents `source` of events from the configured source `source`."""
    return f"urn:legacy-bridge:{source}"
