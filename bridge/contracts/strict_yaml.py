"""YAML that people edit: a key that is given twice is an error, not a silent overwriting."""

from collections.abc import Hashable
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """Safe YAML (no objects are made) that refuses a repeated key.

    YAML's own rule (1.2, section 3.2.1.1) is that keys are unique; the library takes the last.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; raises `ConstructorError`, with the place, for a repeated key."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            # What cannot be hashed is refused by the library itself.
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_strictly(text: str) -> Any:
    """Return the document in `text`; raises `yaml.YAMLError`."""
    return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - it is a SafeLoader.
