"""The effect of tools that benchmarks call: a line in a file that nobody takes back."""

import os

__all__ = ["make_mark"]


def make_mark(*words: object) -> None:
    """Append one line to the file that ``CHAOS_EFFECTS`` names.

    In one system call, so that lines of many processes do not mix.
    """
    file = os.open(os.environ["CHAOS_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(file)
