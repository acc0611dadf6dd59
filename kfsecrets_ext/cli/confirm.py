"""A question before something is written, where somebody is at a terminal to answer it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

__all__ = ["confirmed"]


def confirmed(question: str) -> bool:
    """Ask, and tell whether the answer was yes.

    Without a terminal nobody is asked, as kubectl asks nobody: a script means what it says. Nor is
    in a cell of a notebook, where nobody could answer.

    Parameters
    ----------
    question : str

    Returns
    -------
    bool
    """
    # ipykernel: what a cell runs with ! has a terminal, and no one who types there;
    # jupyter_client sets the variable for each kernel
    if not sys.stderr.isatty() or "JPY_PARENT_PID" in os.environ:
        return True
    with _terminal() as terminal:
        if terminal is None:
            return True
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        answer = terminal.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _terminal() -> Iterator[IO[str] | None]:
    """Give where an answer is typed: standard input may bring a value."""
    if sys.stdin is not None and sys.stdin.isatty():
        yield sys.stdin
        return
    try:
        terminal = open("/dev/tty", encoding="utf-8")  # noqa: SIM115
    except OSError:
        yield None
        return
    with terminal:
        yield terminal
