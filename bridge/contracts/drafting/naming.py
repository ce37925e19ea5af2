"""From legacy names to names of a contract, by one rule for all tables.

A name is split into words (at anything that is no letter or digit, and where lower case turns into
upper), each word is spelled out where the word list knows it, and the words are joined again:
`ORD_HDR` → `order-header` for an entity, `tot_amt` → `total_amount` for a field. What cannot be a
name after that gets a letter in front. The rule is a first draft: people rename afterwards.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.contracts.names import is_field, is_subject

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Of an entity's word; of a field's name (see `names`).
_ENTITY_LENGTH_MAX = 31
_FIELD_LENGTH_MAX = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingRule:
    """How names are made."""

    words: Mapping[str, str] = field(default_factory=dict)
    """Abbreviation (lower case) → word, e.g. `cust` → `customer`."""
    strip_prefixes: tuple[str, ...] = ()
    """Beginnings of table names that say nothing, e.g. `t_`."""

    def subject(self, domain: str, table: str) -> str:
        """Return `domain.entity` for `table`."""
        for prefix in self.strip_prefixes:
            if table.lower().startswith(prefix.lower()) and len(table) > len(prefix):
                table = table[len(prefix) :]
                break
        entity = "-".join(self._words(table)) or "table"
        if not entity[0].isalpha():
            entity = f"t-{entity}"
        subject = f"{domain}.{entity[:_ENTITY_LENGTH_MAX].rstrip('-')}"
        assert is_subject(subject), f"{subject!r} is no subject"
        return subject

    def fields(self, columns: Iterable[str]) -> dict[str, str]:
        """Return column → field name; two columns that would share a name are numbered."""
        names: dict[str, str] = {}
        taken: set[str] = set()
        for column in columns:
            name = "_".join(self._words(column)) or "column"
            if not name[0].isalpha():
                name = f"c_{name}"
            name = name[:_FIELD_LENGTH_MAX].rstrip("_")
            unique, number = name, 2
            while unique in taken:
                suffix = f"_{number}"
                unique = name[: _FIELD_LENGTH_MAX - len(suffix)] + suffix
                number += 1
            assert is_field(unique), f"{unique!r} is no field name"
            taken.add(unique)
            names[column] = unique
        return names

    def _words(self, name: str) -> list[str]:
        words = (word.lower() for word in _WORD.findall(name))
        return [self.words.get(word, word) for word in words]
