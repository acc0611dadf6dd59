"""``jupyter kfsecrets demo`` as a user runs it: real processes, a real server, a real kernel."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from demo.running import Demo, environment, kfsecrets
from demo.values import leaks, values
from rig.ports import reserved

from kfsecrets_ext.demo.janitor import clear

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[Demo]:
    """A demo that the tests which only look at one share."""
    path = tmp_path_factory.mktemp("demo")
    own = path / "own-home" / ".jupyter"
    own.mkdir(parents=True)
    # What the user configured must neither count nor change.
    (own / "jupyter_server_config.py").write_text("c.ServerApp.base_url = '/own'\n")
    with Demo(path, JUPYTER_TOKEN="own", NB_PREFIX="/own") as running:
        yield running


def until_gone(demo: Demo) -> None:
    while demo.leftovers():
        time.sleep(0.1)


def test_it_serves_the_pod(demo: Demo) -> None:
    assert demo.url == f"http://127.0.0.1:{demo.port}/notebook/alice/demo-nb/"
    states = {name: secret["state"] for name, secret in demo.secrets().items()}
    assert set(states.values()) == {"ready", "stale", "empty", "unreadable"}
    assert demo.get("kfsecrets/api/v1/pod").json()["namespace"] == "alice"
    registries = demo.get("kfsecrets/api/v1/registries").json()
    [used] = [file for file in registries["files"] if file["used"]]
    assert used["path"] == str(demo.directory / "home/jovyan/.docker/config.json")


def test_no_endpoint_gives_a_value(demo: Demo) -> None:
    known = values(demo.directory)
    for path in ("secrets", "secrets/database", "registries", "pod"):
        answer = demo.get(f"kfsecrets/api/v1/{path}")
        assert answer.status_code == 200
        assert not leaks(answer.content, known)


def test_the_tour_is_there_to_be_opened(demo: Demo) -> None:
    assert demo.page.endswith("/lab/tree/tour.ipynb")
    assert demo.get("lab/tree/tour.ipynb").status_code == 200
    assert demo.get("api/contents/tour.ipynb").json()["type"] == "notebook"


def test_only_who_has_the_token_gets_in(demo: Demo) -> None:
    for path in ("api/contents", "kfsecrets/api/v1/secrets"):
        answer = requests.get(demo.url + path, allow_redirects=False)
        assert answer.status_code in (302, 403)
    # Other users of the machine see command lines.
    for process in demo.processes():
        assert demo.token not in " ".join(process.cmdline())


def test_a_page_from_elsewhere_gets_no_answer(demo: Demo) -> None:
    browser = requests.Session()
    assert browser.get(f"{demo.page}?token={demo.token}").status_code == 200
    for path in ("api/contents", "kfsecrets/api/v1/secrets"):
        assert browser.get(demo.url + path).status_code == 200
        origin = {"Origin": "http://elsewhere.example"}
        answer = browser.get(demo.url + path, headers=origin)
        assert answer.status_code in (403, 404)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_it_answers_on_this_machine_only(demo: Demo) -> None:
    listening = {
        connection.laddr.ip
        for connection in demo.server().net_connections()
        if connection.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}


def test_the_kernel_is_this_interpreter_in_the_pod(demo: Demo) -> None:
    specifications = demo.get("api/kernelspecs").json()["kernelspecs"]
    assert list(specifications) == ["python3"]
    kernel = demo.kernel()
    code = (
        "import os, sys; from kfsecrets_ext import get_secret; "
        "print(sys.executable, os.environ['HOME'], get_secret('test-secret', 'foo') == 'bar')"
    )
    home = demo.directory / "home/jovyan"
    assert demo.execute(kernel, code) == f"{sys.executable} {home} True\n"


def test_the_users_own_configuration_is_untouched(demo: Demo) -> None:
    own = Path(demo.env["HOME"])
    assert [str(path.relative_to(own)) for path in sorted(own.rglob("*"))] == [
        ".jupyter",
        ".jupyter/jupyter_server_config.py",
    ]


def test_it_says_no_value(demo: Demo) -> None:
    assert not leaks(demo.text, values(demo.directory))


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_leaves_nothing_behind(tmp_path: Path, name: signal.Signals) -> None:
    with Demo(tmp_path) as demo:
        kernel = demo.kernel()
        demo.execute(kernel, "import subprocess; subprocess.Popen(['sleep', '0.1'])")
        assert len(demo.processes()) >= 4
        demo.process.send_signal(name)
        assert demo.process.wait() == 0
        assert demo.leftovers() == []
        assert "Traceback" not in demo.text


def test_a_stop_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    env = environment(tmp_path)
    for delay in (0.3, 0.6, 1.0, 1.6):
        process = subprocess.Popen(
            ["jupyter", "kfsecrets", "demo", "--no-browser"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while process.poll() is None and not os.listdir(env["TMPDIR"]):
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
        assert (process.returncode, os.listdir(env["TMPDIR"])) == (0, []), said


def test_killed_outright_it_leaves_nothing_behind_either(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        demo.kernel()
        demo.process.kill()
        demo.process.wait()
        until_gone(demo)


def test_a_kernel_that_only_starts_does_not_make_the_directory_again(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    (directory / "run").mkdir(parents=True)
    made = f"import os; place = {str(directory / 'run')!r}; print(flush=True)\n"
    made += "while True: os.makedirs(place, exist_ok=True)"
    ours = {**os.environ, "JUPYTER_RUNTIME_DIR": str(directory / "run" / "jupyter")}
    others = {**os.environ, "JUPYTER_RUNTIME_DIR": f"{directory}-of-another"}
    other = subprocess.Popen([sys.executable, "-c", "input()"], env=others, stdin=subprocess.PIPE)
    kernel = subprocess.Popen([sys.executable, "-c", made], env=ours, stdout=subprocess.PIPE)
    try:
        assert kernel.stdout is not None
        kernel.stdout.readline()
        clear(str(directory))
        assert kernel.wait(30) == -signal.SIGKILL
        assert not directory.exists()
        assert other.poll() is None
    finally:
        kernel.kill()
        kernel.communicate()
        other.communicate()


def test_a_killed_server_is_noticed(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        demo.kernel()
        demo.server().kill()
        assert demo.process.wait() == 1
        assert "ended by SIGKILL" in demo.text
        assert demo.token not in demo.text.partition("ended by")[2]
        assert "Traceback" not in demo.text
        until_gone(demo)


def test_shutting_down_from_the_browser_is_a_stop(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        headers = {"Authorization": f"token {demo.token}"}
        requests.post(f"{demo.url}api/shutdown", headers=headers)
        assert demo.process.wait() == 0
        until_gone(demo)


def test_a_rotation_arrives_in_a_running_kernel(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        kernel = demo.kernel()
        demo.execute(
            kernel,
            "from kfsecrets_ext import get_secret\nbefore = get_secret('test-secret', 'foo')",
        )
        # From without, by its directory
        done = kfsecrets(
            *("demo", "--rotate", "test-secret", "--dir", str(demo.directory)), env=demo.env
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "secret/test-secret rotated" in done.stdout
        changed = "print(get_secret('test-secret', 'foo') == before)"
        assert demo.execute(kernel, changed) == "False\n"
        # From within, as the tour does
        demo.execute(kernel, "before = get_secret('test-secret', 'foo')")
        said = demo.execute(kernel, "!jupyter kfsecrets demo --rotate test-secret")
        assert "secret/test-secret rotated" in said
        assert demo.execute(kernel, changed) == "False\n"
        done = kfsecrets(
            *("demo", "--rotate", "coming-soon", "--dir", str(demo.directory)), env=demo.env
        )
        assert demo.secrets()["coming-soon"]["state"] == "ready"


def test_a_taken_port_is_refused_if_asked_for_and_passed_over_if_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = environment(tmp_path)
        done = kfsecrets("demo", "--no-browser", "--port", str(port), env=env)
        assert done.returncode == 1
        assert f"Port {port}" in done.stderr
        assert "Traceback" not in done.stderr
        assert os.listdir(env["TMPDIR"]) == []
    with socket.socket() as default:
        default.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            default.bind(("127.0.0.1", 8888))
            default.listen()
        except OSError:
            pass  # somebody else has it: as good
        with Demo(tmp_path) as demo:
            assert demo.port != 8888
            assert demo.secrets()


def test_it_takes_the_port_asked_for(tmp_path: Path) -> None:
    with reserved() as [port], Demo(tmp_path, "--port", str(port)) as demo:
        assert demo.port == port


def test_two_run_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Demo(tmp_path / "one") as one, Demo(tmp_path / "two") as two:
        assert one.port != two.port
        assert one.directory != two.directory
        before = (two.directory / "secret/test-secret/foo").read_bytes()
        done = kfsecrets(
            *("demo", "--rotate", "test-secret", "--dir", str(one.directory)), env=one.env
        )
        assert done.returncode == 0
        assert (one.directory / "secret/test-secret/foo").read_bytes() != before
        assert (two.directory / "secret/test-secret/foo").read_bytes() == before
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait() == 0
        assert two.secrets()["test-secret"]["state"] == "ready"


def test_a_directory_asked_for_is_kept_and_taken_up_again(tmp_path: Path) -> None:
    pod = tmp_path / "my pod"
    with Demo(tmp_path, "--dir", str(pod)) as demo:
        assert str(pod) in demo.text
        assert "is kept" in demo.text
        (pod / "home/jovyan/mine.txt").write_text("mine")
        second = kfsecrets("demo", "--no-browser", "--dir", str(pod), env=demo.env)
        assert second.returncode == 1
        assert "runs in" in second.stderr
        assert demo.secrets()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait() == 0
    assert (pod / "secret/test-secret/foo").is_file()
    with Demo(tmp_path, "--dir", str(pod)) as demo:
        assert (pod / "home/jovyan/mine.txt").read_text() == "mine"


def test_a_directory_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    env = environment(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    done = kfsecrets("demo", "--no-browser", "--dir", str(tmp_path / "mine"), env=env)
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]


def test_without_jupyterlab_it_says_how_to_get_it(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    env = environment(tmp_path, PYTHONPATH=str(CHECKOUT))
    done = subprocess.run(
        [bare / "bin/python", "-m", "kfsecrets_ext.cli", "demo", "--no-browser"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'pip install "kfsecrets-ext[demo]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(env["TMPDIR"]) == []


def test_a_browser_opens_the_tour_without_the_token_on_its_command_line(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}.new"; mv "{opened}.new" "{opened}"\n')
    browser.chmod(0o755)
    env = environment(tmp_path, BROWSER=str(browser), PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        ["jupyter", "kfsecrets", "demo"], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        while not opened.exists():
            assert process.poll() is None
            time.sleep(0.05)
        address = opened.read_text().strip()
        assert address.startswith("file://")
        assert "token" not in address
        page = Path(address.removeprefix("file://"))
        assert "/lab/tree/tour.ipynb?token=" in page.read_text()
        assert page.stat().st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 0


def test_what_an_administrator_grants_comes_to_the_panel_and_the_kernel(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        kernel = demo.kernel()
        demo.execute(kernel, "from kfsecrets_ext import get_secret")
        make = "!printf demo-value-0af3 | jupyter kfsecrets create generic aws --from-file=key=-"
        assert "secret/aws created in alice" in demo.execute(kernel, make)
        assert "aws" not in demo.secrets()
        said = demo.execute(kernel, "!jupyter kfsecrets demo --restart-pod --choose aws")
        assert "secret/aws is mounted now" in said
        # The kernel went on, and so did the server.
        shown = demo.secrets()["aws"]
        assert (shown["state"], shown["poddefault"]) == ("ready", "aws")
        assert demo.execute(kernel, "print(len(get_secret('aws', 'key')))") == "15\n"
        # A Secret that goes leaves its mount empty, and one that comes fills it.
        demo.execute(kernel, "from kfsecrets_ext.cluster import connect, SECRET")
        demo.execute(kernel, "connect().delete(SECRET, 'aws', namespace='alice')")
        while demo.secrets()["aws"]["state"] != "empty":
            time.sleep(0.1)
        assert demo.secrets()["aws"]["reason"].startswith("Declared, not granted yet")
        demo.execute(kernel, make)
        while demo.secrets()["aws"]["state"] != "ready":
            time.sleep(0.1)
        assert not leaks(demo.text + str(demo.secrets()), values(demo.directory))
