"""Notebooks to open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_notebook(
    path: Path, *cells: dict[str, Any], language: str = "python", kernel: str | None = None
) -> None:
    """Write a notebook of these cells, for a Python kernel, another one, or none that is here."""
    name = kernel or ("python3" if language == "python" else language)
    mime_type = {"python": "text/x-ipython", "R": "text/x-r-source"}[language]
    notebook = {
        "cells": list(cells),
        "metadata": {
            "kernelspec": {"name": name, "display_name": name, "language": language},
            "language_info": {"name": language, "mimetype": mime_type},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook))


def code(source: str, identity: str = "c", **metadata: Any) -> dict[str, Any]:
    """A code cell."""
    return {
        "cell_type": "code",
        "id": identity,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def markdown(source: str, identity: str = "m") -> dict[str, Any]:
    """A Markdown cell."""
    return {"cell_type": "markdown", "id": identity, "metadata": {}, "source": source}
