"""Blobs are complete or absent, and never anywhere but under their root."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from transformer_e2e.server.blobs import BlobRefused, BlobStore, hex_md5


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_blob_comes_back_as_it_was_put(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    data = os.urandom(3 << 20)
    stored = store.put([data[:5], b"", data[5:]], md5(data))
    assert (stored.md5, stored.size) == (md5(data), len(data))
    assert store.path(stored.md5).read_bytes() == data
    assert store.size(stored.md5) == len(data)
    assert list(store.names()) == [stored.md5]


def test_an_empty_blob_is_a_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.size(store.put([], md5(b"")).md5) == 0


def test_a_body_that_is_not_what_its_name_says_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(BlobRefused, match="truncated or damaged"):
        store.put([b"trunc"], md5(b"truncated"))
    assert files(tmp_path) == []


def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"first half"
        raise ConnectionResetError

    async def broken_stream() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionResetError

    store = BlobStore(tmp_path)
    with pytest.raises(ConnectionResetError):
        store.put(broken())
    with pytest.raises(ConnectionResetError):
        asyncio.run(store.receive(broken_stream()))
    assert files(tmp_path) == []


def test_what_a_killed_server_left_half_received_is_gone_after_a_restart(tmp_path: Path) -> None:
    kept = BlobStore(tmp_path).put([b"whole"])
    (tmp_path / "incoming" / "tmpabc").write_bytes(b"hal")
    store = BlobStore(tmp_path)
    assert files(tmp_path) == [store.path(kept.md5)]


@pytest.mark.parametrize(
    "name",
    [
        "../../api_key",
        "..",
        "",
        "/etc/passwd",
        "incoming",
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "0" * 31 + "/",
        "0" * 32 + "\n",
    ],
)
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    store = BlobStore(tmp_path)
    for use in (store.path, store.size, store.remove):
        with pytest.raises(BlobRefused, match="no blob name"):
            use(name)


def test_many_writers_of_one_content_leave_one_whole_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    data = os.urandom(1 << 18)
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda _: store.put([data], md5(data)), range(32)))
    assert {one.md5 for one in stored} == {md5(data)}
    assert files(tmp_path) == [store.path(md5(data))]
    assert store.path(md5(data)).read_bytes() == data


def test_a_removed_blob_is_gone_and_removing_it_again_is_no_error(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    stored = store.put([b"x"])
    store.remove(stored.md5)
    store.remove(stored.md5)
    assert store.size(stored.md5) is None


@pytest.mark.parametrize("digest", ["", "abc", "!" * 24, "AAAA", "../../../../../../../../etc"])
def test_only_a_whole_md5_in_base64_is_a_digest(digest: str) -> None:
    with pytest.raises(BlobRefused, match="no MD5 in base64"):
        hex_md5(digest)


def test_a_digest_in_base64_names_the_same_blob_as_in_hex() -> None:
    assert hex_md5("XUFAKrxLKna5cZ2REBfFkg==") == md5(b"hello")
