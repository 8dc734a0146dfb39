"""The server's parts taken alone: database, migrations, ids, keys, signed URLs, the lenient GraphQL."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from starlette.requests import Request

from transformer_e2e.server import auth, migrations, server_lock
from transformer_e2e.server.connection import page
from transformer_e2e.server.db import Database
from transformer_e2e.server.settings import ServerSettings
from transformer_e2e.server.wire import Refusal, decode_id, encode_id, iso, parse_json, parse_object


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_migrations_are_applied_once_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "002_b.sql").write_text("INSERT INTO t VALUES (2);")
    (tmp_path / "001_a.sql").write_text("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
    connection = connect(tmp_path / "x.db")
    assert migrations.apply(connection, tmp_path) == ["001_a.sql", "002_b.sql"]
    (tmp_path / "003_c.sql").write_text("INSERT INTO t VALUES (3)")  # without a semicolon at its end
    assert migrations.apply(connection, tmp_path) == ["003_c.sql"]
    assert migrations.apply(connect(tmp_path / "x.db"), tmp_path) == []
    assert [row[0] for row in connection.execute("SELECT x FROM t")] == [1, 2, 3]


def test_a_failing_migration_leaves_nothing_of_itself(tmp_path: Path) -> None:
    (tmp_path / "001_a.sql").write_text("CREATE TABLE t (x);")
    (tmp_path / "002_b.sql").write_text("INSERT INTO t VALUES (1); INSERT INTO missing VALUES (1);")
    connection = connect(tmp_path / "x.db")
    with pytest.raises(sqlite3.OperationalError):
        migrations.apply(connection, tmp_path)
    assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
    (tmp_path / "002_b.sql").write_text("INSERT INTO t VALUES (1);")
    assert migrations.apply(connection, tmp_path) == ["002_b.sql"]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / "server.db")


def add_project(tx: sqlite3.Connection, name: str) -> None:
    tx.execute("INSERT INTO projects (entity, name, created_at) VALUES ('e', ?, 0)", (name,))


def project_names(db: Database) -> list[str]:
    with db.read() as conn:
        return [row["name"] for row in conn.execute("SELECT name FROM projects ORDER BY id")]


def test_a_write_that_raises_is_undone_and_the_next_one_works(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as tx:
        add_project(tx, "lost")
        raise ZeroDivisionError
    with db.write() as tx:
        add_project(tx, "kept")
    assert project_names(db) == ["kept"]


def test_writes_inside_writes_are_refused_instead_of_hanging(db: Database) -> None:
    with db.write() as tx:
        add_project(tx, "outer")
        with pytest.raises(RuntimeError), db.write():
            pass
    assert project_names(db) == ["outer"]


def test_writers_of_many_threads_take_turns_and_readers_see_whole_transactions(db: Database) -> None:
    def write(index: int) -> None:
        for turn in range(10):
            with db.write() as tx:
                count = tx.execute("SELECT COUNT(*) FROM projects").fetchone()[0]
                add_project(tx, f"{index}-{turn}-a")
                add_project(tx, f"{index}-{turn}-b")
                assert tx.execute("SELECT COUNT(*) FROM projects").fetchone()[0] == count + 2

    threads = [threading.Thread(target=write, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(project_names(db)) % 2 == 0
    for thread in threads:
        thread.join()
    assert len(project_names(db)) == 80


def test_a_read_keeps_its_view_while_others_write(db: Database) -> None:
    with db.read() as conn:
        assert conn.execute("SELECT COUNT(*) FROM projects").fetchone()[0] == 0
        with db.write() as tx:
            add_project(tx, "later")
        assert project_names(db) == []  # a nested read has the same view
    assert project_names(db) == ["later"]


def test_commits_are_flushed_to_disk(db: Database) -> None:
    for access in (db.write, db.read):
        with access() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_ids_round_trip_and_refuse_what_is_not_theirs() -> None:
    encoded = encode_id("Run:v1", "abc", "my project", "local")
    assert decode_id("Run:v1", encoded) == ["abc", "my project", "local"]
    assert encode_id("Artifact", 7) == "QXJ0aWZhY3Q6Nw=="
    for wrong in (encode_id("Sweep:v1", "abc"), "no base64!", "", None, 5, "////"):
        with pytest.raises(Refusal, match="not the id of a Run") as caught:
            decode_id("Run:v1", wrong)
        assert caught.value.status == 400


def test_times_are_iso_8601_in_utc() -> None:
    assert iso(0.25) == "1970-01-01T00:00:00.250000Z"
    assert iso(None) is None


def test_json_is_parsed_leniently_and_refused_clearly() -> None:
    assert parse_json('[NaN, "NaN", -Infinity]', "x")[1:] == ["NaN", float("-inf")]
    assert parse_object("", "x") == parse_object(None, "x") == {}
    for text, what in [("{", "config is not JSON"), ("[]", "config must be a JSON object"), (3, "not JSON")]:
        with pytest.raises(Refusal, match=what):
            parse_object(text, "config")


def test_pages_cover_a_list_once() -> None:
    items, seen, after = list(range(7)), [], None
    while True:
        found = page(items, 3, after)
        seen += [edge["node"] for edge in found["edges"]]
        after = found["page_info"]["end_cursor"]
        if not found["page_info"]["has_next_page"]:
            break
    assert seen == items
    assert page([], 3)["page_info"] == {
        "start_cursor": None,
        "end_cursor": None,
        "has_next_page": False,
        "has_previous_page": False,
    }
    assert [edge["node"] for edge in page(items)["edges"]] == items
    with pytest.raises(Refusal):
        page(items, 3, "x")


SETTINGS = ServerSettings(root=Path("nowhere"), api_key="k" * 40, secret=b"s")


def request(method: str, url: str = "/blobs/abc", authorization: str = "") -> Request:
    path, _, query = url.partition("?")
    headers = [(b"authorization", authorization.encode())] if authorization else []
    return Request(
        {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    )


def test_signed_urls_hold_for_one_method_one_path_and_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    url = auth.sign("/blobs/abc", "GET", SETTINGS)
    assert auth.check(request("GET", url), SETTINGS) and auth.check(request("HEAD", url), SETTINGS)
    assert not auth.check(request("PUT", url), SETTINGS)
    assert not auth.check(request("GET", url.replace("abc", "abd")), SETTINGS)
    assert not auth.check(request("GET", re.sub(r"expires=\d+", "expires=9999999999", url)), SETTINGS)
    assert not auth.check(request("GET"), SETTINGS)
    other = ServerSettings(root=Path("nowhere"), api_key="k" * 40, secret=b"t")
    assert not auth.check(request("GET", url), other)
    late = time.time() + auth.URL_LIFETIME + 2
    monkeypatch.setattr(auth.time, "time", lambda: late)
    assert not auth.check(request("GET", url), SETTINGS)


def test_only_basic_authentication_with_the_key_is_accepted() -> None:
    right = "Basic " + auth.base64.b64encode(b"api:" + b"k" * 40).decode()
    assert auth.has_key(request("POST", authorization=right), SETTINGS)
    for wrong in (
        "",
        "Basic",
        "Basic !!!",
        f"Bearer {'k' * 40}",
        "Basic " + auth.base64.b64encode(b"api:").decode(),
    ):
        assert not auth.has_key(request("POST", authorization=wrong), SETTINGS)


def test_a_stored_key_is_made_once(tmp_path: Path) -> None:
    first = auth.stored(tmp_path / "api_key", auth.new_key)
    assert len(first) == 40 and auth.stored(tmp_path / "api_key", auth.new_key) == first
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


def test_a_server_is_unused_once_its_last_user_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = server_lock.Users(tmp_path)
    assert not users.are_gone()  # nobody came yet
    monkeypatch.setattr(server_lock, "FIRST_USER_PATIENCE", 0.0)
    assert users.are_gone()
