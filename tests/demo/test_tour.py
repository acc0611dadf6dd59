"""The tour notebook: it runs as it is, and shows no value."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from demo.running import environment
from demo.values import leaks, values
from nbclient import NotebookClient

from kfsecrets_ext.demo.pod import TOUR, DemoPod, lay_out, packaged

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[DemoPod, nbformat.NotebookNode, set[bytes]]:
    """The pod, the notebook run in it from top to bottom, and all values that there were."""
    directory = tmp_path_factory.mktemp("tour")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("JUPYTER", "KFSECRETS_"))]:
            patch.delenv(name)
        for name in ("PATH", "PYDEVD_DISABLE_FILE_VALIDATION"):
            patch.setenv(name, environment(directory)[name])
        pod = lay_out(directory / "pod")
        pod.configure_jupyter("not used")
        known = values(pod.directory)
        # Both the kernel and what looks for its specification read the process's environment.
        for name, value in pod.environment().items():
            patch.setenv(name, value)
        notebook = nbformat.reads((pod.home / TOUR).read_text(), as_version=4)
        NotebookClient(
            notebook,
            resources={"metadata": {"path": str(pod.home)}},
            startup_timeout=300,
            iopub_timeout=120,
        ).execute()
    return pod, notebook, known | values(pod.directory)


def outputs(notebook: nbformat.NotebookNode, cell: str) -> str:
    """What a cell showed, as text."""
    [found] = [one for one in notebook.cells if one.id == cell]
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in found.outputs
    )


def test_no_value_stands_in_what_the_tour_shows(ran) -> None:
    _, notebook, known = ran
    assert len(known) > 15
    assert not leaks(nbformat.writes(notebook), known)
    # Elsewhere it is not the guard that keeps them out.
    about_the_guard = ("guard", "print", "base64", "why")
    others = [cell for cell in notebook.cells if cell.id not in about_the_guard]
    assert "[redacted:" not in json.dumps(others)


def test_the_search_for_values_would_find_one(ran) -> None:
    for value in ran[2]:
        assert leaks(b"shown: " + value + b".", ran[2])


def test_each_cell_shows_what_its_text_says(ran) -> None:
    _, notebook, _ = ran
    shown = {
        cell.id: outputs(notebook, cell.id) for cell in notebook.cells if cell.cell_type == "code"
    }
    for cell in ("get-secret", "whole-key", "strip", "created"):
        assert shown[cell] == "SecretStr('**********')"
    assert shown["bytes"] == "SecretBytes(b'**********')" or "**********" in shown["bytes"]
    for name in ("test-secret", "docker-config", "legacy-token", "ssh-agent", "coming-soon"):
        assert name in shown["list-secrets"]
        assert name in shown["credentials-panel"]
    assert shown["library"] == "True"
    assert "tls/client.key" in shown["whole-secret"]
    assert shown["environ"].strip() == "psql would log in"
    assert "https://index.docker.io/v1/" in shown["docker-credentials"]
    assert shown["print"].strip() == "[redacted:database/password]"
    assert shown["base64"] == "b'[redacted:database/password]'"
    assert "the value, in base64" in shown["why"]
    assert "secret/test-secret rotated" in shown["rotate-secret"]
    assert shown["rotated"] == "False"
    assert "secret/coming-soon created" in shown["create-secret"]
    errors = shown["errors"].splitlines()
    assert [line.split(":")[0] for line in errors] == [
        *("SecretNotFound", "KeyNotFound", "SecretNotText", "SecretTooLarge", "SecretUnreadable")
    ]
    assert "'test-secret'" in errors[0]
    assert "'password'" in errors[1]
    assert "restart the notebook" in shown["stale-token"]


def test_no_output_is_stored_in_it() -> None:
    notebook = nbformat.reads(packaged(TOUR), as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_no_value_is_written_in_it(ran) -> None:
    assert not leaks(packaged(TOUR), ran[2])


def test_binder_opens_the_same_notebook() -> None:
    assert json.loads((CHECKOUT / "binder" / TOUR).read_text()) == json.loads(packaged(TOUR))
