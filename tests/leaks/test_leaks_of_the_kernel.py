"""Whatever a user does in a kernel, no frame that leaves it shows a value.

Each channel is a cell that a careless user may run. The value is only in the mounted file, and
what is judged is every frame that reached a client while the cell ran, on ZeroMQ's sockets and on a
server's websocket, the process's own stdout and stderr, and the files below its home.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import websocket
from leaks.matrix import KINDS
from leaks.oracle import leaks
from rig.kernels import GENERATIONS, Kernel, environment, running
from rig.kubelet import Kubelet
from servers import KUBEFLOW, Server, serving

pytestmark = pytest.mark.slow

NAMES = {
    "token": "40 characters",
    "aws": "AWS key",
    "punctuation": "all punctuation",
    "quotes": "quotes and backslashes",
    "unicode": "Unicode",
    "pem": "PEM",
    "phrase": "pass phrase",
    "account": "service account",
    "short": "8 characters",
}

SETUP = """
import base64, ctypes, html, json, logging, os, struct, subprocess, sys, threading, time
import urllib.parse, warnings, zlib
from IPython import get_ipython
from IPython.display import *
PATH = {path!r}
v = open(PATH, encoding="utf-8").read()
libc = ctypes.CDLL(None)

def png(text):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    meta = chunk(b"tEXt", b"Comment\\0" + text.encode())
    body = chunk(b"IDAT", zlib.compress(b"\\0\\0")) + chunk(b"IEND", b"")
    return b"\\x89PNG\\r\\n\\x1a\\n" + head + meta + body
"""

PRINTED = {
    "print": "print(v)",
    "print, in a line": "print('the value is', v, 'as I said')",
    "stderr": "print(v, file=sys.stderr)",
    "halves, flushed": """
half = len(v) // 2
print(v[:half], end="", flush=True); print(v[half:], end="", flush=True)
""",
    "halves, half a second apart": """
half = len(v) // 2
print(v[:half], end="", flush=True); time.sleep(0.5); print(v[half:], end="", flush=True)
""",
    "character by character": """
for one in v[:200]: print(one, end="", flush=True)
""",
    "characters over several flushes": """
for at, one in enumerate(v[:60]):
    print(one, end="", flush=True)
    if at % 9 == 8: time.sleep(0.25)
""",
    "pieces of three": """
for at in range(0, len(v), 3): sys.stdout.write(v[at : at + 3])
""",
    "both streams in turn": """
half = len(v) // 2
for stream in (sys.stdout, sys.stderr):
    stream.write(v[:half]); stream.flush()
for stream in (sys.stdout, sys.stderr):
    stream.write(v[half:]); stream.flush()
""",
    "displays between the halves": """
half = len(v) // 2
print(v[:half], end=""); display("between"); print(v[half:], end="")
""",
    "os.write": "n = os.write(1, v.encode())",
    "os.write to stderr, in halves": """
data = v.encode(); half = len(data) // 2
n = os.write(2, data[:half]); time.sleep(0.4); n = os.write(2, data[half:])
""",
    "os.write after filler": "n = os.write(1, b'x' * 990 + b' ' + v.encode())",
    "subprocess": "n = subprocess.run(['cat', PATH])",
    "subprocess into sys.stdout": "n = subprocess.run(['cat', PATH], stdout=sys.stdout)",
    "subprocess, shown": "print(subprocess.run(['cat', PATH], capture_output=True))",
    "os.system": "n = os.system(f'cat {PATH}')",
    "shell": "!cat {PATH}",
    "shell, base64": "!base64 {PATH}",
    "shell, hex": "!od -An -tx1 {PATH}",
    "shell, the file and its dump": "!cat {PATH}; od -A x -t x1z {PATH}",
    "shell, an indented dump": "!od -t x1 {PATH} | sed 's/^/   /'",
    "a dump in a line of a log": """
logging.getLogger('a').warning('it is %s', subprocess.getoutput(f"od -A x -t x1z {PATH}"))
print(subprocess.run(["od", "-t", "x1", PATH], capture_output=True))
""",
    "cell of bash": "%%bash -s {PATH}\ncat $1",
    "C's puts": "n = libc.puts(v.encode()); n = libc.fflush(None)",
    "C's printf": "n = libc.printf(b'%s and %d\\n', v.encode(), 5); n = libc.fflush(None)",
    "a thread": """
t = threading.Thread(target=lambda: print(v)); t.start(); t.join()
""",
    "a thread, after the cell": """
def later():
    time.sleep(0.3); half = len(v) // 2
    print(v[:half], end="", flush=True); time.sleep(0.3); print(v[half:], flush=True)
threading.Thread(target=later).start()
""",
    "a fork": """
child = os.fork()
if child == 0:
    half = len(v) // 2
    print(v[:half], end="", flush=True); print(v[half:], flush=True)
    os.write(1, v.encode()); os._exit(0)
n = os.waitpid(child, 0)
""",
    "logging": "logging.getLogger('a').warning('with %s', v)",
    "warnings": "warnings.warn(v)",
    "progress": """
for at in range(5): print(f"\\r{at} {v}", end="", flush=True); time.sleep(0.05)
""",
    "cleared": "print(v); clear_output(wait=True); print(v)",
    "base64": "print(base64.b64encode(b'user:' + v.encode()).decode())",
    "base64, wrapped": "print(base64.encodebytes(v.encode()).decode())",
    "hex": "print(v.encode().hex())",
    "URL": "print(urllib.parse.quote(v, safe=''))",
    "HTML": "print(html.escape(v))",
    "JSON in JSON": "print(json.dumps(json.dumps({'a': v})))",
    "bytes": "print(v.encode())",
    "coloured": "print(f'\\x1b[31m{v}\\x1b[0m')",
    "stdout of old": "sys.__stdout__.write(v); sys.__stdout__.flush()",
}

SHOWN = {
    "result": "v",
    "result in a list": "[v, {'a': v}, {v}]",
    "result as bytes": "v.encode()",
    "display": "display(v)",
    "HTML": "HTML(f'<b title=\"{html.escape(v)}\">{html.escape(v)}</b>')",
    "Markdown": "Markdown(f'`{v}`')",
    "LaTeX": "Latex(v)",
    "SVG": "display({'image/svg+xml': f'<svg><text>{html.escape(v)}</text></svg>'}, raw=True)",
    "JavaScript": "Javascript(f'console.log({json.dumps(v)})')",
    "JSON": "JSON({'a': [v], 'b': {v: 1}})",
    "JSON with keys": "display({'application/json': {v: {v: [v]}}}, raw=True)",
    "PNG": "display(Image(data=png(v)))",
    "PNG as bytes": "display({'image/png': png(v)}, raw=True)",
    "bytes of an unknown type": "display({'application/x-bytes': v.encode()}, raw=True)",
    "metadata": "display({'text/plain': 'x'}, metadata={'a': v, v: 1}, raw=True)",
    "display id": "display('x', display_id=v)",
    "update": "h = display('x', display_id='h'); h.update(v)",
    "data frame": """
import pandas
pandas.DataFrame({'a': [v], v: [1]})
""",
    "data frame, printed": """
import pandas
print(pandas.DataFrame({'a': [v] * 3}).to_string())
""",
    "repr of an own class": """
class Mine:
    def __repr__(self): return f'Mine({v})'
    def _repr_mimebundle_(self, **more): return {'text/plain': v, 'text/html': v, 'a/b': [v]}
Mine()
""",
    "pprint": "import pprint; pprint.pprint({'key': [v] * 3})",
    "captured and shown": "%%capture c\nprint(v)\ndisplay(v)",
    "captured": "c.show()",
    "environment": "os.environ['MINE'] = v\n%env",
    "environment, one": "%env MINE",
    "whos": "%whos",
    "who": "%who",
    "locals": "locals()['v'], Out",
    "history": "%history -o",
    "source": """
def f(a=v):
    'with a docstring'
f?
""",
    "value?": "v?",
    "value??": "v??",
    "pdoc": "%pinfo v",
    "page": "from IPython.core import page; page.page(v)",
    "next input": "get_ipython().set_next_input(v)",
    "comm": """
from comm import create_comm
c1 = create_comm(target_name='x', data={'a': v, v: [1]}, metadata={'m': v})
c1.send({'more': [v]}, metadata={'m': v}); c1.close({'end': v})
""",
    "buffers": """
c2 = create_comm(target_name='x'); c2.send({}, buffers=[v.encode(), memoryview(v.encode() * 2)])
c2.send({}, buffers=[b'\\xff\\x00' * 200_000 + v.encode() + b'\\xfe' * 300_000])
""",
    "widgets": """
import ipywidgets
t = ipywidgets.Text(value=v, description=v); p = ipywidgets.Password(value=v)
o = ipywidgets.Dropdown(options=[v, 'b']); h = ipywidgets.HTML(v)
display(t, p, o, h); t.value = v + '!'; p.value = v; p.value = 'x'; p.value = v
""",
    "output widget": """
w = ipywidgets.Output()
display(w)
with w: print(v); display(v)
w.outputs
""",
    "output widget, appended": """
half = len(v) // 2
w = ipywidgets.Output()
w.append_stdout(v[:half]); w.append_stdout(v[half:])
""",
    "output widget, by character": """
w = ipywidgets.Output()
for one in v[:100]: w.append_stdout(one)
""",
    "rich": "import rich; rich.print({'a': v})",
    "rich, a text": "import rich.markup; rich.print('it is', rich.markup.escape(v))",
    "rich, a frame": """
import rich.panel
rich.print(rich.panel.Panel(rich.markup.escape(v), width=24))
""",
    "highlighted": """
import pygments, pygments.lexers as lexers, pygments.formatters as formatters
HTML(pygments.highlight('x = ' + v, lexers.BashLexer(), formatters.HtmlFormatter()))
""",
    "bold": "HTML('<b>' + html.escape(v[:9]) + '</b>' + html.escape(v[9:]))",
    "dump, as a list": "x = !od -t x1 {PATH}\nx",
    "system, as a list": "x = !cat {PATH}\nx",
    "cell of Python": "%%python\nprint(open('PLACE').read())",
}

RAISED = {
    "an error": "raise ValueError(v)",
    "its name": "raise type(v.replace('\\0', ''), (Exception,), {})('x')",
    "a chain": """
try: raise KeyError(v)
except KeyError as error: raise RuntimeError('no') from error
""",
    "arguments": """
def f(secret, more): return more / 0
f(v, 1)
""",
    "locals": """
def g():
    secret = v; pair = {'a': secret}
    return pair['b']
g()
""",
    "assertion": "assert v == 'x', v",
    "syntax": "exec(f'a b {v}')",
    "exit": "sys.exit(v)",
    "group": "raise globals()['__builtins__'].ExceptionGroup(v, [ValueError(v)])",
    "a file": "open(v.replace('\\0', ''))",
    "in a widget": """
import ipywidgets
def fail(change): raise ValueError(v)
i = ipywidgets.IntText(); i.observe(fail, 'value'); i.value = 5
""",
}


@pytest.fixture(scope="module", params=list(GENERATIONS))
def kernel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kernel, Path]]:
    directory = tmp_path_factory.mktemp("leaks")
    root = directory / "secret"
    root.mkdir()
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "kinds", {name: KINDS[kind] for name, kind in NAMES.items()})
    with running(environment(request.param), directory / "kernel", root) as kernel:
        yield kernel, root / "kinds"


def secret_parts(value: bytes) -> list[bytes]:
    """Return what of a value is a secret: all but what every key of its kind begins with."""
    if value.startswith(b"{"):
        account = json.loads(value)
        return [account["private_key_id"].encode(), *secret_parts(account["private_key"].encode())]
    return [b"\n".join(one for one in value.split(b"\n") if not one.startswith(b"-----"))]


class Judge:
    """Keeps what came of each channel, and tells which of them leaked."""

    def __init__(self, kernel: Kernel, value: bytes) -> None:
        self.kernel = kernel
        self.secret = secret_parts(value)
        self._heard: list[tuple[str, bytes]] = []
        self._frames = len(kernel.frames())
        self._log = len(kernel.logged())

    def look(self, channel: str) -> None:
        """Keep what came since the last time."""
        frames, log = self.kernel.frames(), self.kernel.logged()
        # Two clients heard the same.
        fresh = b"\n".join(dict.fromkeys(frames[self._frames :]))
        self._heard += [(channel, fresh), (f"{channel}, log", log[self._log :])]
        self._frames, self._log = len(frames), len(log)

    def found(self) -> list[tuple[str, list[str]]]:
        """Return the channels that leaked, and how."""
        heard = self._heard
        assert any(data for _, data in heard)
        # Judged together, which is quicker; one by one where there is something to tell.
        if not self._ways(b"\n".join(data for _, data in heard)):
            return []
        found = [(channel, self._ways(data)[:3]) for channel, data in heard]
        return [one for one in found if one[1]] or [("all of them together", [])]

    def _ways(self, data: bytes) -> list[str]:
        return [way for one in self.secret for way in leaks(data, one)] if data else []


MATRIX = {
    **{f"printed, {name}": (PRINTED, name) for name in NAMES},
    **{f"shown, {name}": (SHOWN, name) for name in ("token", "quotes", "unicode", "pem")},
    **{f"raised, {name}": (RAISED, name) for name in ("token", "quotes", "unicode")},
}


@pytest.mark.parametrize("cells", list(MATRIX))
def test_no_channel_shows_a_value(kernel: tuple[Kernel, Path], cells: str) -> None:
    channels, name = MATRIX[cells]
    running, directory = kernel
    path = directory / name
    judge = Judge(running, path.read_bytes())
    running.run(SETUP.format(path=str(path)))
    judge.look("set-up")
    modes = ("Plain", "Minimal", "Verbose", "Context") if channels is RAISED else ("",)
    for mode in modes:
        if mode:
            running.run(f"%xmode {mode}")
        for channel, code in channels.items():
            cell = running.run(code.replace("PLACE", str(path)))
            if "after the cell" in channel:
                running.later(1.2)
            judge.look(f"{channel}, {mode}" if mode else channel)
            if channels is not RAISED:
                assert cell.reply["status"] == "ok", (channel, cell.contents("error"))
    running.later(0.3)
    judge.look("afterwards")
    assert judge.found() == []


@pytest.mark.parametrize("name", ["token", "quotes", "unicode"])
def test_no_reply_shows_a_value(kernel: tuple[Kernel, Path], name: str) -> None:
    running, directory = kernel
    value = (directory / name).read_bytes()
    judge = Judge(running, value)
    running.run(SETUP.format(path=str(directory / name)))
    text = value.decode()

    running.run(f"x = {text!r}")
    judge.look("execute_input")
    running.run("0", expressions={"a": "v", "b": "[v]", "c": "1/0 if v else 0", "d": "open(v)"})
    judge.look("user expressions")
    running.run("d = {v: 1, 'b': 2}")
    running.ask("complete_request", {"code": "d['", "cursor_pos": 3})
    judge.look("completion of keys")
    running.run("class C: pass\nc = C(); setattr(c, v, 1)")
    running.ask("complete_request", {"code": "c.", "cursor_pos": 2})
    judge.look("completion of attributes")
    for detail in (0, 1):
        running.ask("inspect_request", {"code": "v", "cursor_pos": 1, "detail_level": detail})
        judge.look("inspection")
    running.run("def f():\n    " + repr(text) + "\n    return 1")
    running.ask("inspect_request", {"code": "f", "cursor_pos": 1, "detail_level": 1})
    judge.look("inspection of source")
    wanted = {"raw": True, "output": True, "hist_access_type": "tail", "n": 50}
    running.ask("history_request", wanted)
    judge.look("history")
    running.ask("is_complete_request", {"code": f"if {text!r}:"})
    judge.look("completeness")
    running.run("input(v); print(v)", answer=lambda prompt: text)
    judge.look("input")
    running.run("print(input('again? '))", answer=lambda prompt: text)
    judge.look("input, echoed")
    running.run("import getpass; getpass.getpass(v)", answer=lambda prompt: "x")
    judge.look("password")
    running.ask("comm_info_request", {})
    judge.look("comms")
    assert judge.found() == []


@pytest.mark.parametrize("name", ["token", "quotes"])
def test_no_debugger_shows_a_value(kernel: tuple[Kernel, Path], name: str) -> None:
    running, directory = kernel
    judge = Judge(running, (directory / name).read_bytes())
    running.run(SETUP.format(path=str(directory / name)))
    code = "inner = [v, {'a': v}]\nafter = 1"

    def debug(command: str, **arguments: Any) -> dict[str, Any]:
        asked = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
        reply = running.ask("debug_request", asked, channel="control").reply
        judge.look(command)
        return reply.get("body") or {}

    debug("initialize", clientID="x", adapterID="x", pathFormat="path")
    debug("attach")
    source = debug("dumpCell", code=code)["sourcePath"]
    debug("setBreakpoints", source={"path": source}, breakpoints=[{"line": 2}])
    debug("configurationDone")
    debug("inspectVariables")
    debug("richInspectVariables", variableName="v")
    request = running.client.execute(code)
    thread = None
    until = time.monotonic() + 60
    while thread is None and time.monotonic() < until:
        for message in running.later(0.2):
            if message["content"].get("event") == "stopped":
                thread = message["content"]["body"]["threadId"]
    assert thread is not None
    frame = debug("stackTrace", threadId=thread)["stackFrames"][0]["id"]
    debug("richInspectVariables", variableName="v", frameId=frame)
    debug("evaluate", expression="v", frameId=frame)
    debug("evaluate", expression="inner", frameId=frame, context="hover")
    for scope in debug("scopes", frameId=frame)["scopes"]:
        reference = scope["variablesReference"]
        for variable in debug("variables", variablesReference=reference)["variables"]:
            if variable["name"] == "inner":
                inner = variable["variablesReference"]
                assert "[redacted:kinds/" in str(debug("variables", variablesReference=inner))
    debug("continue", threadId=thread)
    debug("disconnect", restart=False, terminateDebuggee=False)
    assert running.client.get_shell_msg(timeout=60)["parent_header"]["msg_id"] == request
    running.later(0.3)
    judge.look("afterwards")
    assert judge.found() == []


def test_no_subshell_shows_a_value(kernel: tuple[Kernel, Path]) -> None:
    running, directory = kernel
    features = running.ask("kernel_info_request", {}).reply.get("supported_features", [])
    if "kernel subshells" not in features:
        assert "6.31" in running.run("import ipykernel; print(ipykernel.__version__)").text()
        return
    judge = Judge(running, (directory / "token").read_bytes())
    running.run(SETUP.format(path=str(directory / "token")))
    made = running.ask("create_subshell_request", {}, channel="control").reply
    for code in ("print(v)", "v", "display(v)", "raise ValueError(v)", "!cat {PATH}"):
        running.run(code, header={"subshell_id": made["subshell_id"]})
        judge.look(code)
    running.ask("delete_subshell_request", {"subshell_id": made["subshell_id"]}, channel="control")
    judge.look("the end")
    assert judge.found() == []


def test_no_file_that_a_kernel_writes_holds_a_value(kernel: tuple[Kernel, Path]) -> None:
    running, directory = kernel
    running.run("%load_ext storemagic\nstored = 1\n%store stored")
    written = [
        path
        for path in running.log.parent.rglob("*")
        if path.is_file() and not path.name.startswith("history.sqlite")
    ]
    # What the user typed is the user's source, and kept as it is. The log is judged above.
    assert list(running.log.parent.rglob("history.sqlite"))
    written.remove(running.log)
    assert [one for one in written if "storemagic" in str(one) or "db" in one.parts]
    found = [
        (path.name, way)
        for name in NAMES
        for secret in secret_parts((directory / name).read_bytes())
        for path in written
        for way in leaks(path.read_bytes(), secret)[:1]
    ]
    assert found == []


@pytest.fixture(scope="module", params=list(GENERATIONS))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Server]]:
    directory = tmp_path_factory.mktemp("served")
    (directory / "secret").mkdir()
    argv = [str(environment(request.param).python), "-m", "ipykernel_launcher"]
    specification = {"argv": [*argv, "-f", "{connection_file}"], "display_name": "guarded"}
    kernels = directory / "data" / "kernels" / "guarded"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps(specification))
    arguments = (*KUBEFLOW, "--ServerApp.disable_check_xsrf=True")
    with Kubelet() as kubelet, serving(directory, arguments=arguments) as server:
        values = {name: KINDS[kind] for name, kind in NAMES.items()}
        kubelet.write_secret(directory / "secret" / "kinds", values)
        yield directory, server


def test_no_websocket_of_a_server_shows_a_value(served: tuple[Path, Server]) -> None:
    directory, server = served
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("POST", f"{server.base_url}api/kernels", '{"name": "guarded"}')
        made = json.loads(connection.getresponse().read())
    address = f"{server.url.replace('http', 'ws', 1)}api/kernels/{made['id']}/channels"
    path = directory / "secret" / "kinds" / "quotes"
    with closing(websocket.create_connection(address)) as channels:
        heard = _execute(channels, SETUP.format(path=str(path)))
        for channel, code in (SHOWN | PRINTED).items():
            heard += _execute(channels, code.replace("PLACE", str(path)))
            if "after the cell" in channel:
                # Else the halves would stand among what the next cells print.
                heard += _execute(channels, "time.sleep(1.2)")
    assert b"".join(heard).count(b"[redacted:kinds/quotes]") > 50
    for data in (b"\n".join(heard), server.log_file.read_bytes()):
        assert leaks(data, path.read_bytes()) == []


def _execute(channels: websocket.WebSocket, code: str) -> list[bytes]:
    """Run a cell; return what came over the websocket until the kernel was idle."""
    identity = uuid.uuid4().hex
    header = {"msg_id": identity, "session": "s", "username": "", "version": "5.3", "date": ""}
    content = {"code": code, "silent": False, "allow_stdin": False}
    request = {"header": {**header, "msg_type": "execute_request"}, "content": content}
    request |= {"parent_header": {}, "metadata": {}, "channel": "shell", "buffers": []}
    channels.send(json.dumps(request))
    heard = []
    replied = idle = False
    while not (replied and idle):
        data = channels.recv()
        heard.append(data if isinstance(data, bytes) else data.encode())
        if isinstance(data, bytes):
            continue  # a message with buffers
        message = json.loads(data)
        if message["parent_header"].get("msg_id") == identity:
            replied = replied or message["msg_type"] == "execute_reply"
            idle = idle or message["content"].get("execution_state") == "idle"
    return heard
