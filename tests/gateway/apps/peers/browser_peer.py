"""Use an application with the system's Chromium, and print what was seen as JSON.

Run by a Python that has Playwright: `browser_peer.py APP BASE SCREENS USER PASSWORD`.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]  # Not ours.

_APP, _BASE, _SCREENS, _USER, _PASSWORD = sys.argv[1:6]
_ECHO = """async (base) => {
  const socket = new WebSocket(base.replace("http", "ws") + "/ws/echo");
  const got = [];
  await new Promise((done, failed) => {
    socket.onopen = () => { socket.send("one"); socket.send("ü".repeat(70000)); };
    socket.onmessage = (event) => {
      got.push([event.data.length, event.data.slice(0, 3)]);
      if (got.length === 2) socket.close();
    };
    socket.onclose = done;
    socket.onerror = () => failed(new Error("the socket failed"));
  });
  return got;
}"""


def _shot(page: Any, name: str) -> None:
    page.screenshot(path=f"{_SCREENS}-{name}.png")


def _wagtail(page: Any, seen: dict[str, Any]) -> None:
    page.goto(f"{_BASE}/admin/")
    seen["asked to log in at"] = page.url.removeprefix(_BASE)
    page.fill("[name=username]", _USER)
    page.fill("[name=password]", _PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{_BASE}/admin/")
    page.wait_for_load_state("networkidle")
    _shot(page, "home")
    page.goto(f"{_BASE}/admin/documents/add/")
    deed = {"name": "deed.txt", "mimeType": "text/plain", "buffer": b"The deed.\n" * 10_000}
    page.set_input_files("input[type=file]", deed)
    page.fill("[name=title]", "The deed")
    page.click("form[action*='documents/add'] button[type=submit]")
    page.wait_for_url("**/admin/documents/")
    seen["documents"] = page.locator("td.title, .title-wrapper").all_inner_texts()
    _shot(page, "documents")
    with page.expect_download() as downloading:
        page.evaluate("location.href = document.querySelector('a[href*=\"/documents/1/\"]').href")
    downloaded = Path(downloading.value.path()).read_bytes()
    seen["downloaded"] = [downloading.value.suggested_filename, len(downloaded)]
    page.goto(f"{_BASE}/admin/pages/3/edit/")
    page.fill("[name=title]", "Bridge & shop")
    page.evaluate("document.querySelector('[name=action-publish]').click()")
    page.wait_for_url(re.compile(r"/admin/pages/(?!3/edit)"))
    page.wait_for_load_state("networkidle")
    seen["said after publishing"] = page.locator(".messages li").all_inner_texts()
    _shot(page, "published")
    page.goto(f"{_BASE}/")
    seen["title"] = page.title()
    _shot(page, "site")


def _node_red(page: Any, seen: dict[str, Any]) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url.split("?")[0]))
    flows = json.loads((Path(__file__).parent / "flows.json").read_text())
    deployed = page.request.post(
        f"{_BASE}/flows", data={"flows": flows}, headers={"Node-RED-API-Version": "v2"}
    )
    seen["deployed"] = deployed.status
    page.goto(f"{_BASE}/")
    page.wait_for_selector("#red-ui-header-button-deploy")
    page.wait_for_selector(".red-ui-flow-node")
    page.wait_for_load_state("networkidle")
    page.click("text=No, do not enable notifications")
    page.wait_for_selector("text=Enable Update Notifications", state="hidden")
    seen["nodes"] = page.locator(".red-ui-flow-node").count()
    seen["palette"] = sorted(set(page.locator(".red-ui-palette-label").all_inner_texts()))
    _shot(page, "editor")
    seen["echo"] = page.evaluate(_ECHO, _BASE)
    seen["hello"] = page.evaluate("fetch('/hello/browser').then(answer => answer.json())")
    seen["sockets"] = sorted({url.split("/", 3)[3] for url in sockets})


_STORIES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "wagtail": _wagtail,
    "node-red": _node_red,
}


def main() -> None:
    """Use the application."""
    seen: dict[str, Any] = {"errors": []}
    answers: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.on("pageerror", lambda error: seen["errors"].append(str(error)))
        # What the pages ask of the rest of the world (avatars, news of versions) is not ours.
        context.route(lambda url: not url.startswith(_BASE), lambda route: route.abort())

        def failed(request: Any) -> None:
            # A download ends the loading of its page, which the browser calls a failure.
            if request.url.startswith(_BASE) and "/documents/1/" not in request.url:
                seen["errors"].append(f"{request.url} {request.failure}")

        page.on("requestfailed", failed)

        def note(response: Any) -> None:
            if response.url.startswith(_BASE):
                path = response.url.removeprefix(_BASE).split("?")[0]
                answers.add(f"{response.request.method} {path} {response.status}")

        page.on("response", note)
        _STORIES[_APP](page, seen)
        seen["cookies"] = sorted(
            [one["name"], one["path"], one["httpOnly"], one["sameSite"]]
            for one in context.cookies()
        )
        browser.close()
    seen["answers"] = sorted(answers)
    print(json.dumps(seen))


main()
