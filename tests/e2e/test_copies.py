"""A conversation goes on in a fork and in an import, with real workers."""

import json
from typing import Any

from bursar.client import Client
from bursar.messages import AssistantMessage, UserMessage


def test_a_fork_and_an_import_go_on_from_where_they_were_cut(client: Client) -> None:
    first = client.create_session("echo", user="ann", title="Tides")
    for words in ("one", "two"):
        assert client.run(first, words).state == "succeeded"
    history = client.list_messages(first)
    assert [type(message) for message in history] == [UserMessage, AssistantMessage] * 2

    fork = client.fork_session(first, 1, limit_microusd=2_000_000)
    assert client.list_messages(fork) == history[:2]
    assert client.run(fork, "three").state == "succeeded"
    assert client.get_session(first).message_count == 4
    said = [m.text for m in client.list_messages(fork) if isinstance(m, UserMessage)]
    assert said == ["one", "three"]

    document: dict[str, Any] = json.loads(b"\n".join(client.export_session(first)))
    document["messages"][-1]["usage"] = {"input_tokens": 1, "output_tokens": 0}
    back = client.import_session(document, new_id=True)
    assert back.imported_from == f"default/{first.id}"
    assert client.run(back, "four").state == "succeeded"
    assert client.get_session(back).message_count == 6
    spent = client.get_session_budget(back).account
    assert (spent.pending_microusd, spent.overrun_microusd) == (0, 0)
    assert client.audit_budget().ok
