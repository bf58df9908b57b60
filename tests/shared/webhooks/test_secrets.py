"""Secrets of endpoints: made, rotated, and for how long the old one counts."""

import base64

from bursar.webhooks.secrets import KEEP_MS, Secrets, new_secret


def test_a_secret_has_the_form_of_the_standard() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32


def test_the_old_secret_signs_beside_the_new_one_for_a_day() -> None:
    rotated = Secrets("a").rotated(1000)
    assert rotated.valid(1000 + KEEP_MS - 1) == [rotated.current, "a"]
    assert rotated.valid(1000 + KEEP_MS) == [rotated.current]
    assert Secrets("a").valid(0) == ["a"]


def test_a_second_rotation_ends_the_oldest() -> None:
    first = Secrets("a").rotated(1000)
    second = first.rotated(2000)
    assert second.valid(3000) == [second.current, first.current]


def test_secrets_are_read_as_they_were_written() -> None:
    rotated = Secrets("a").rotated(1000)
    assert Secrets.decode(rotated.encode()) == rotated
    assert Secrets.decode(Secrets("a").encode()) == Secrets("a")
