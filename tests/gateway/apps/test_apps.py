"""Real applications, direct and through the gateway: the same to an HTTP client and a browser.

Each way gets a fresh copy of the application, so that both start from the same state.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gateway.apps.browsing import browsed
from tests.gateway.apps.programs import node_red, wagtail
from tests.gateway.apps.stories import node_red_story, wagtail_story
from tests.gateway.apps.transcript import Transcript
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.rig import simple_door, trusting
from tests.gateway.http.rig import Gateway, route

App = Callable[[Path], AbstractContextManager[int]]
Story = Callable[[Transcript], None]

_APPS: dict[str, tuple[App, Story]] = {
    "wagtail": (wagtail, wagtail_story),
    "node-red": (node_red, node_red_story),
}
# What the applications' own pages need: Node-RED's editor is a script of some megabytes.
_ROUTES = (route("all", "/{rest...}", body_bytes_max=1 << 24, timeout_ms=30_000),)


@contextmanager
def _fresh(app: App, folder: Path, *, proxied: bool) -> Iterator[str]:
    """Run the application; yield its address, or the gateway's before it."""
    folder.mkdir()
    with ExitStack() as running:
        port = running.enter_context(app(folder))
        if proxied:
            port = running.enter_context(Gateway({"legacy": port}, routes=_ROUTES)).port
        yield f"http://127.0.0.1:{port}"


def _told(story: Story, base: str) -> Transcript:
    transcript = Transcript(base)
    story(transcript)
    transcript.close()
    return transcript


@pytest.mark.soak
@pytest.mark.parametrize("name", _APPS)
def test_same_to_an_http_client(name: str, tmp_path: Path) -> None:
    app, story = _APPS[name]
    with _fresh(app, tmp_path / "direct", proxied=False) as base:
        direct = _told(story, base)
    with _fresh(app, tmp_path / "proxied", proxied=True) as base:
        proxied = _told(story, base)
    assert [step[:2] for step in proxied.steps] == [step[:2] for step in direct.steps]
    for got, wanted in zip(proxied.steps, direct.steps, strict=True):
        assert got[2] == wanted[2], got[0]
        assert got[3].splitlines() == wanted[3].splitlines(), got[0]


@pytest.mark.soak
def test_same_to_an_http_client_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("site", "127.0.0.1")
    with _fresh(wagtail, tmp_path / "direct", proxied=False) as base:
        direct = _told(wagtail_story, base)
    folder = tmp_path / "proxied"
    folder.mkdir()
    with (
        wagtail(folder) as port,
        Gateway({"legacy": port}, routes=_ROUTES, door=simple_door(own)) as gateway,
    ):
        transcript = Transcript(f"https://127.0.0.1:{gateway.port}", trusting(authority.file))
        wagtail_story(transcript)
        transcript.close()
    assert [step[:2] for step in transcript.steps] == [step[:2] for step in direct.steps]


@pytest.mark.soak
@pytest.mark.parametrize("name", _APPS)
def test_same_to_a_browser(name: str, tmp_path: Path) -> None:
    app, _ = _APPS[name]
    with _fresh(app, tmp_path / "direct", proxied=False) as base:
        direct = browsed(name, base, "direct")
    with _fresh(app, tmp_path / "proxied", proxied=True) as base:
        proxied = browsed(name, base, "proxied")
    assert proxied == direct
    assert proxied["errors"] == []
