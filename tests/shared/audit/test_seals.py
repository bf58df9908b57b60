"""A seal is signed as described, and every change of it breaks its signature."""

import base64

import msgspec
import pytest

from bursar.audit.keyring import KeyRing
from bursar.audit.seals import Seal, is_signed, sign_head
from bursar.errors import InvalidInput
from bursar.signing import SigningKey
from support.audit_book import Book


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_seal_can_be_checked_without_this_code(book: Book) -> None:
    seal = book.seals[1]
    text = "".join(
        f"{line}\n"
        for line in (
            "bursar-audit-seal-v1", "acme", 4, 6, 3, seal.previous, seal.head, seal.marks,
            seal.at_ms, book.key.kid,
        )
    )  # fmt: skip
    signature = base64.urlsafe_b64decode(seal.signature)
    book.key.private.public_key().verify(signature, text.encode())


@pytest.mark.parametrize("name", Seal.__struct_fields__)
def test_every_field_of_a_seal_is_signed(book: Book, name: str) -> None:
    seal = book.seals[0]
    value = getattr(seal, name)
    other = (
        value + 1 if isinstance(value, int) else f"{value[:-1]}{'A' if value[-1] != 'A' else 'B'}"
    )
    assert is_signed(seal, book.ring)
    changed = msgspec.structs.replace(seal, **{name: other})
    assert not is_signed(changed, book.ring)


def test_a_signature_has_one_spelling(book: Book) -> None:
    """Base64 has bits to spare, which would be a change that nobody sees."""
    seal = book.seals[0]
    spare = seal.signature[:-3]
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(
        seal.signature[-3]
    )
    twin = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    other = f"{spare}{twin}=="
    assert base64.urlsafe_b64decode(other) == base64.urlsafe_b64decode(seal.signature)
    assert is_signed(msgspec.structs.replace(seal, signature=other), book.ring) is False


@pytest.mark.parametrize("signature", ["", "x", "é", "A" * 88, "A" * 86 + "=="])
def test_what_is_no_signature_is_none(book: Book, signature: str) -> None:
    seal = msgspec.structs.replace(book.seals[0], signature=signature)
    assert is_signed(seal, book.ring) is False


def test_a_key_that_is_not_known_signs_nothing(book: Book) -> None:
    assert is_signed(book.seals[0], KeyRing({})) is None


def test_a_head_of_an_export_passes_for_no_seal_and_the_reverse(book: Book) -> None:
    seal = book.seals[0]
    head = sign_head(
        book.key, workspace="acme", after_seq=0, seq=3, head=bytes.fromhex(seal.head), at_ms=1
    )
    assert is_signed(head, book.ring)
    assert not is_signed(msgspec.structs.replace(seal, signature=head.signature), book.ring)
    assert not is_signed(msgspec.structs.replace(head, signature=seal.signature), book.ring)


def test_a_key_under_the_name_of_another_is_not_believed(book: Book) -> None:
    mine = SigningKey.generate()
    assert KeyRing.of_texts({mine.kid: mine.public}).get(mine.kid) is not None
    assert KeyRing.of_texts({book.key.kid: mine.public}).get(book.key.kid) is None


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é" * 43])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        KeyRing.of_texts({"sk_1": text})


def test_keys_are_read_as_the_gateway_lists_them(book: Book) -> None:
    listed = [{"kid": book.key.kid, "public": book.key.public, "state": "revoked", "created_ms": 1}]
    ring = KeyRing.read(msgspec.json.encode(listed))
    assert ring.get(book.key.kid) is not None
    assert ring.revoked == {book.key.kid}
    assert ring.texts([book.key.kid, "sk_other"]) == {book.key.kid: book.key.public}
