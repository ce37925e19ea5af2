"""The witness over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bridge.eventlog.witness import app as witness_app
from bridge.eventlog.witness.submission import SIZE_CONTENT_TYPE, SUBMISSION_BYTES_MAX
from tests.eventlog.witness.logs import ORIGIN, log_of, signer_in, submission, witness_in


def client(folder: Path) -> httpx.AsyncClient:
    application = witness_app.create_app(witness_in(folder, signer_in(folder)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://witness")


async def answered(folder: Path, path: str, **request: object) -> httpx.Response:
    async with client(folder) as http:
        method = "POST" if request else "GET"
        return await http.request(method, path, **request)  # type: ignore[arg-type]  # As given.


def run(folder: Path, path: str, **request: object) -> httpx.Response:
    return asyncio.run(answered(folder, path, **request))


def test_a_submission_is_answered_with_a_cosignature_line(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(20)
    answer = run(tmp_path, "/add-checkpoint", content=submission(signer, log, 0, 10))
    assert answer.status_code == 200
    assert answer.text.startswith("\N{EM DASH} witness.partner.example/w1 ")
    assert answer.text.endswith("\n")
    stale = run(tmp_path, "/add-checkpoint", content=submission(signer, log, 5, 20))
    assert (stale.status_code, stale.text) == (409, "10\n")
    assert stale.headers["Content-Type"] == SIZE_CONTENT_TYPE


def test_what_was_cosigned_last_can_be_asked(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(10)
    (before,) = run(tmp_path, "/checkpoints").json()["logs"]
    assert before == {"origin": ORIGIN, "size": None}
    run(tmp_path, "/add-checkpoint", content=submission(signer, log, 0, 10))
    told = run(tmp_path, "/checkpoints").json()
    (after,) = told["logs"]
    assert (after["size"], after["root"]) == (10, log.head().root.hex())
    assert after["cosigned"] == "2023-11-14T22:13:20Z"
    assert after["checkpoint"].startswith(ORIGIN)
    assert told["key"].startswith("witness.partner.example/w1+")


@pytest.mark.parametrize("size", [SUBMISSION_BYTES_MAX + 1, 5_000_000])
def test_a_body_that_is_too_long_is_not_taken(tmp_path: Path, size: int) -> None:
    assert run(tmp_path, "/add-checkpoint", content=b"x" * size).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_app, "BODY_TIMEOUT_S", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"old 0\n"
        await asyncio.Event().wait()

    assert run(tmp_path, "/add-checkpoint", content=never()).status_code == 408


def test_only_what_is_offered_is_answered(tmp_path: Path) -> None:
    assert run(tmp_path, "/health").text == "ok\n"
    assert run(tmp_path, "/add-checkpoint").status_code == 405
    assert run(tmp_path, "/").status_code == 404
    assert run(tmp_path, "/add-checkpoint", content=b"nonsense").status_code == 400
