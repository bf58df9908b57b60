"""Which texts may name a file."""

import pytest

from bursar.errors import InvalidInput
from bursar.files.names import MAX_PATH_CHARS, path_from_uri, split_path


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        (".", ()),
        ("a/b.txt", ("a", "b.txt")),
        ("./a//b/./c/", ("a", "b", "c")),
        ("...", ("...",)),
        ("a..b/..c/d..", ("a..b", "..c", "d..")),
        ("ü/中", ("ü", "中")),
        ("with blank/~x", ("with blank", "~x")),
        ("x" * 255, ("x" * 255,)),
    ],
)
def test_ordinary_paths_are_split(path: str, parts: tuple[str, ...]) -> None:
    assert split_path(path, field="path") == parts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("..", "without '..'"),
        ("a/../b", "without '..'"),
        ("missing/../../outside", "without '..'"),
        ("/etc/hosts", "relative to the workspace folder"),
        ("a\x00b", "without control characters"),
        ("a\nb", "without control characters"),
        ("a\u202etxt", "without control characters"),
        ("a\udc80", "without control characters"),
        ("u\u0308", "composed form"),
        ("x" * 256, "at most 255 bytes"),
        ("ü" * 128, "at most 255 bytes"),
        ("a/" * 65, "at most 64 folders"),
        ("x" * (MAX_PATH_CHARS + 1), "at most 1024 characters, got 1025"),
    ],
)
def test_other_paths_are_refused_with_what_was_expected(path: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_path(path, field="source")
    assert caught.value.field == "source"
    assert expected in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b", "a/b"),
        ("file:///a/b%20c", "/a/b c"),
        ("FILE://localhost/a", "/a"),
        ("file:a/b", "a/b"),
        ("file:///a/%2e%2e/b", "/a/../b"),
        ("https://example.org/a", "https://example.org/a"),
    ],
)
def test_a_file_uri_is_a_path(text: str, path: str) -> None:
    assert path_from_uri(text, field="path") == path


@pytest.mark.parametrize(
    "text", ["file://host/a", "file:", "file:///a?b", "file:///a#b", "file:///%ff", "file://[a/b"]
)
def test_other_file_uris_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        path_from_uri(text, field="path")
    assert "file:///folder/name" in caught.value.message
