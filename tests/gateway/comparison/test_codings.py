"""Content codings against the encoders that make them: whole, in parts, cut, broken, and bombs."""

import functools
import gzip
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.comparison.comparing import compare
from bridge.gateway.comparison.contents import content_of
from bridge.gateway.comparison.decoding import decoded
from bridge.gateway.comparison.difference import Outcome
from tests.gateway.comparison.answers import answer, rules

PLENTY = 1 << 20
Pack = Callable[[bytes], bytes]


def _raw_deflate(body: bytes) -> bytes:
    machine = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return machine.compress(body) + machine.flush()


def _zstd_without_size(body: bytes) -> bytes:
    machine = zstandard.ZstdCompressor(level=3, write_content_size=False, write_checksum=True)
    return machine.compress(body)


def _zstd_in_frames(body: bytes) -> bytes:
    pack = zstandard.ZstdCompressor().compress
    skipped = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    half = len(body) // 2
    return pack(body[:half]) + skipped + pack(b"") + pack(body[half:])


def _gzip_in_members(body: bytes) -> bytes:
    return gzip.compress(body[:3]) + gzip.compress(b"") + gzip.compress(body[3:])


PACKS: dict[str, tuple[str, Pack]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip-members": ("x-gzip", _gzip_in_members),
    "deflate": ("deflate", zlib.compress),
    "raw-deflate": ("deflate", _raw_deflate),
    "br": ("br", functools.partial(brotli.compress, quality=5)),
    "br-text": ("br", functools.partial(brotli.compress, mode=brotli.MODE_TEXT, quality=9)),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd-no-size": ("zstd", _zstd_without_size),
    "zstd-frames": ("zstd", _zstd_in_frames),
}
BODIES = st.one_of(
    st.binary(max_size=3_000),
    st.builds(lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 4_000)),
)


@pytest.mark.parametrize("name", PACKS)
@given(body=BODIES)
@settings(max_examples=25)
def test_what_an_encoder_packed_comes_out_again(name: str, body: bytes) -> None:
    coding, pack = PACKS[name]
    packed = pack(body)
    found = decoded(packed, coding, PLENTY)
    assert found == body or len(body) > 64 * 1024 + 200 * len(packed)


@pytest.mark.parametrize("name", PACKS)
@given(body=st.binary(min_size=1, max_size=600), data=st.data())
@settings(max_examples=25)
def test_what_is_cut_or_changed_is_never_half_a_body(
    name: str, body: bytes, data: st.DataObject
) -> None:
    coding, pack = PACKS[name]
    packed = pack(body)
    at = data.draw(st.integers(1, len(packed) - 1))
    cut = decoded(packed[:at], coding, PLENTY)
    # What has parts can end after any of them, which is then whole.
    assert isinstance(cut, str) or name in ("gzip-members", "zstd-frames")
    changed = bytearray(packed)
    changed[at] ^= data.draw(st.integers(1, 255))
    decoded(bytes(changed), coding, PLENTY)  # Something, or a word; never an exception.


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@given(body=st.binary(max_size=200))
@settings(max_examples=50)
def test_any_bytes_are_content_or_a_word(coding: str, body: bytes) -> None:
    found = decoded(body, coding, PLENTY)
    assert isinstance(found, bytes) or "broken" in found


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw-deflate", "br", "zstd", "zstd-frames"])
def test_a_bound_is_met_to_the_byte(name: str) -> None:
    coding, pack = PACKS[name]
    body = random.Random(7).randbytes(40_000) * 6
    packed = pack(body)
    assert decoded(packed, coding, len(body)) == body
    assert decoded(packed, coding, len(body) - 1) == f"decodes to more than {len(body) - 1} bytes"


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_what_follows_a_body_is_no_body(coding: str) -> None:
    _, pack = PACKS[coding]
    assert decoded(pack(b"whole") + b"and more", coding, PLENTY) == (
        f"content coding {coding!r} is broken"
    )


def test_a_body_of_endless_parts_is_not_read() -> None:
    frame = zstandard.ZstdCompressor().compress(b"")
    assert isinstance(decoded(frame * 257, "zstd", PLENTY), str)
    assert isinstance(decoded(gzip.compress(b"") * 257, "gzip", PLENTY), str)


def test_a_window_larger_than_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24, enable_ldm=True)
    machine = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = machine.compress(b"abc" * 100) + machine.flush()
    assert decoded(packed, "zstd", PLENTY) == "content coding 'zstd' is broken"


@pytest.mark.parametrize(
    "codings", [("br",), ("zstd",), ("gzip", "br"), ("deflate", "zstd", "gzip"), ("zstd", "zstd")]
)
def test_codings_of_a_field_are_taken_off_from_the_last(codings: tuple[str, ...]) -> None:
    body = json.dumps({"a": 1, "b": "x" * 2_000}).encode()
    packed = body
    for coding in codings:
        packed = PACKS[coding][1](packed)
    field = (b"Content-Encoding", ", ".join(codings).upper().encode())
    mine = answer(packed, headers=(field,))
    assert content_of(mine, PLENTY).body == body
    comparison = compare(mine, answer(body.replace(b" ", b"")), rules(headers=[]))
    assert comparison.outcome is Outcome.EQUAL
    differs = compare(mine, answer(body.replace(b"1", b"2")), rules(headers=[]))
    assert [(one.kind.value, one.field) for one in differs.differences] == [("value", "/a")]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_cut_body_differs_in_form_from_a_whole_one(coding: str) -> None:
    packed = PACKS[coding][1](json.dumps({"a": list(range(300))}).encode())
    field = ((b"Content-Encoding", coding.encode()),)
    comparison = compare(answer(packed[:-9], headers=field), answer(packed, headers=field), rules())
    assert [(one.kind.value, one.field) for one in comparison.differences] == [("form", "/")]


_BOMBS = """
import sys
from bridge.gateway.comparison.decoding import decoded

def peak():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])

for coding, path in zip(sys.argv[1::2], sys.argv[2::2]):
    with open(path, "rb") as file:
        bomb = file.read()
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # The peak begins anew.
    before = peak()
    found = decoded(bomb, coding, 1 << 20)
    print(coding, found if isinstance(found, str) else "decoded", peak() - before)
"""


def test_a_bomb_of_each_coding_takes_no_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bombs")
    zeros = bytes(1 << 20)
    gz, inflating = zlib.compressobj(9, wbits=31), zlib.compressobj(9)
    br, zstd = brotli.Compressor(quality=1), zstandard.ZstdCompressor().compressobj()
    bombs = {
        "gzip": b"".join([*(gz.compress(zeros) for _ in range(16)), gz.flush()]),
        "deflate": b"".join([*(inflating.compress(zeros) for _ in range(16)), inflating.flush()]),
        "br": b"".join([*(br.process(zeros) for _ in range(64)), br.finish()]),
        "zstd": b"".join([*(zstd.compress(zeros) for _ in range(64)), zstd.flush()]),
    }
    words = []
    for coding, bomb in bombs.items():
        (folder / coding).write_bytes(bomb)
        words += [coding, str(folder / coding)]
    said = subprocess.run(
        [sys.executable, "-c", _BOMBS, *words], capture_output=True, text=True, check=True
    )
    told = [line.split() for line in said.stdout.splitlines()]
    assert [line[0] for line in told] == list(bombs)
    for coding, *word, grown_kb in told:
        assert " ".join(word).startswith("decodes to more than"), coding
        # Of 16 and 64 MB: the bound, what an encoder's block adds, and the window.
        assert int(grown_kb) < 12 * 1024, (coding, grown_kb)
