"""Telling text from other files, and showing it."""

__all__ = ["is_text"]


def is_text(data: bytes) -> bool:
    """Whether this is UTF-8, as far as it goes: the end may cut a character."""
    if b"\x00" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True
