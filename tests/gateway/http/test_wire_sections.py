"""What a route file says about time, lenience and upstreams reaches the gateway's routes."""

import pytest

from bridge.gateway.routes.loader import read_group
from bridge.model.errors import ConfigInvalid

FILE = {
    "group": "old",
    "sides": {"legacy": "app"},
    "defaults": {"timeouts": {"connect_ms": 500}},
    "routes": [
        {
            "id": "one", "path": "/one", "timeout_ms": 7_000,
            "timeouts": {"total_ms": 9_000, "first_byte_ms": 100},
            "lenience": {"bare_lf": True, "encoded_slash": True},
            "accepts": {"trailers": True},
        },
        {"id": "two", "path": "/two"},
    ],
}  # fmt: skip


def test_a_file_is_read() -> None:
    one, two = read_group("old.yaml", FILE, ["app"])
    assert one.phases.total_s == 9.0
    assert one.phases.connect_s == 0.5
    assert one.phases.first_byte_s == 0.1
    assert one.phases.whole_ms == 9_000
    assert one.lenience.names == {"bare_lf", "encoded_slash"}
    assert one.accepts.trailers
    assert not one.accepts.idempotency_key
    assert two.lenience.names == frozenset()
    assert two.phases.connect_s == 0.5
    assert two.phases.total_s is None


@pytest.mark.parametrize(
    ("section", "given"),
    [("lenience", {"space_before_colon": True}), ("timeouts", {"total_ms": 0}),
     ("accepts", {"trailers": "yes"})],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(section: str, given: object) -> None:
    routes = [{"id": "one", "path": "/one", section: given}]
    with pytest.raises(ConfigInvalid, match=section):
        read_group("old.yaml", {**FILE, "routes": routes}, ["app"])
