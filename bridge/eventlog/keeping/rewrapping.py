"""Wrap all data keys by the newest master key: the rotation of a master key, repeatable."""

from typing import Final

from bridge.eventlog.keeping.ports import MasterKey, SubjectKeyStore, wrap_context

_PAGE_KEYS: Final = 1_000
"""One durable commit each."""


def rewrap(store: SubjectKeyStore, master: MasterKey) -> int:
    """Wrap every living key anew that is not by the newest master key; return how many."""
    after, count = "", 0
    while found := store.living(after, _PAGE_KEYS):
        after = found[-1].key_id
        renewed = []
        for key in found:
            assert key.wrapped is not None, "a living key has a wrapped form"
            if not master.is_newest(key.wrapped):
                context = wrap_context(key.key_id, key.subject)
                wrapped = master.wrap(master.unwrap(key.wrapped, context), context)
                renewed.append(key._replace(wrapped=wrapped))
        if renewed:
            store.rewrap(renewed)
            count += len(renewed)
    return count
