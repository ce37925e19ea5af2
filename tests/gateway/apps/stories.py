"""What a person does with each application, as HTTP requests."""

import base64
import json
from pathlib import Path
from typing import Any, Final

from tests.gateway.apps.programs import PASSWORD, USER
from tests.gateway.apps.transcript import Transcript

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzIAAAABlBMVEX///8AAABVwtN+AAAAFElEQVR4nGNg"
    "YPjPgAr+MyBz/jMAAE/3B/k1fV3EAAAAAElFTkSuQmCC"
)
_DOCUMENT: Final = b"The deed.\r\n" * 20_000
_PAGE: Final = "/admin/pages/3/edit/"
_EDITED: Final = {
    "title": "Shop ünder the bridge", "slug": "home", "seo_title": "", "search_description": "",
    "go_live_at": "", "expire_at": "", "comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0",
    "comments-MIN_NUM_FORMS": "0", "comments-MAX_NUM_FORMS": "", "comment_notifications": "on",
    "action-publish": "action-publish",
}  # fmt: skip


def wagtail_story(story: Transcript) -> None:
    """Log in, upload an image and a document, edit and publish a page, download, log out."""
    story.step("GET", "/")
    story.step("GET", "/admin/")
    story.step("GET", "/admin/login/?next=/admin/")
    wrong = {"username": USER, "password": "guess", "next": "/admin/"}
    _post(story, "/admin/login/", wrong)
    story.step("POST", "/admin/login/", data=wrong)  # Without a token: 403.
    _post(story, "/admin/login/", wrong | {"password": PASSWORD})
    story.step("GET", "/admin/")
    _upload(story, "/admin/images/add/", "square ü.png", PNG)
    story.step("GET", "/admin/images/")
    _upload(story, "/admin/documents/add/", "deed.txt", _DOCUMENT)
    story.step("GET", "/documents/1/deed.txt")
    story.step("HEAD", "/documents/1/deed.txt")
    story.step("GET", _PAGE)
    _post(story, _PAGE, _EDITED)
    story.step("GET", "/")
    style = story.step("GET", "/static/css/welcome_page.css")
    since = {"If-Modified-Since": style.headers["last-modified"]}
    story.step("GET", "/static/css/welcome_page.css", headers=since)
    story.step("GET", "/static/css/welcome_page.css", headers={"Range": "bytes=0-9"})
    story.step("GET", "/search/?query=%C3%BCnder+bridge&page=1")
    story.step("GET", "/nowhere")
    story.step("DELETE", "/admin/")
    _post(story, "/admin/logout/", {})
    story.step("GET", "/admin/")


def _post(story: Transcript, path: str, fields: dict[str, str], **options: Any) -> None:
    token = {"csrfmiddlewaretoken": story.cookie("csrftoken")}
    story.step("POST", path, data=fields | token, **options)


def _upload(story: Transcript, path: str, name: str, content: bytes) -> None:
    _post(story, path, {"title": name, "collection": "1"}, files={"file": (name, content)})


FLOWS: Final[list[dict[str, object]]] = json.loads(
    (Path(__file__).parent / "peers" / "flows.json").read_text()
)
"""HTTP with parameters, uploads, redirects and cookies, and a WebSocket that echoes."""


def node_red_story(story: Transcript) -> None:
    """Deploy flows, use what they serve, upload, read the editor's files."""
    version = {"Node-RED-API-Version": "v2"}
    story.step("GET", "/")
    story.step("GET", "/settings")
    story.step("GET", "/flows", headers=version)
    story.step("POST", "/flows", json={"flows": FLOWS}, headers=version)
    story.wait_for("/hello/ready")
    story.step("GET", "/flows")
    story.step("GET", "/hello/w%C3%B6rld?a=1&a=2&b=%2F")
    story.step("GET", "/hello/again")
    story.step("HEAD", "/hello/again")
    story.step("GET", "/go")
    files = [("one", ("a.txt", b"abc")), ("two", ("b.bin", bytes(range(256)) * 2_000))]
    story.step("POST", "/upload", files=files, data={"field": "ü"})
    story.step("PUT", "/echo", content=b"x" * 100_000, headers={"Content-Type": "text/plain"})
    story.step(
        "PUT", "/echo", content=iter([b"in ", b"chunks"]), headers={"Content-Type": "text/plain"}
    )
    page = story.step("GET", "/red/about")
    story.step("GET", "/red/about", headers={"If-None-Match": page.headers.get("etag", "x")})
    script = story.step("GET", "/vendor/vendor.js", headers={"Accept-Encoding": "gzip, br"})
    story.step("GET", "/vendor/vendor.js", headers={"If-None-Match": script.headers["etag"]})
    story.step("GET", "/vendor/vendor.js", headers={"Range": "bytes=100-199"})
    story.step("OPTIONS", "/hello/again")
    story.step("GET", "/nodes", headers={"Accept": "application/json"})
    story.step("DELETE", "/flow/tab")
