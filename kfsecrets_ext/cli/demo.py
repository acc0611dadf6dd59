"""``jupyter kfsecrets demo``: a notebook pod on this machine, what rotates it and restarts it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["register"]

_DESCRIPTION = """\
Run a Kubeflow notebook pod on this machine: a directory laid out as the kubelet does it, with
the credentials of made-up Secrets in every state, and JupyterLab with a tour on top. It answers
on 127.0.0.1 only, asks for the token in the address that it prints, and leaves your own Jupyter
configuration alone.

The pod runs in a cluster of its own, in which the commands for administrators work too: its
kubelet brings what changes in a Secret into the volumes. With --rotate, give a Secret of a running
demo new values instead. With --restart-pod, start the pod anew: it is admitted again, with the
PodDefaults that there are now. Elsewhere than in a terminal or notebook of the demo, --dir names
which.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets demo
  jupyter kfsecrets demo --port 8890 --no-browser
  jupyter kfsecrets demo --dir ./pod                       keep what is in it
  jupyter kfsecrets demo --rotate test-secret              in the demo's terminal
  jupyter kfsecrets demo --rotate test-secret --dir ./pod  in another
  jupyter kfsecrets demo --restart-pod                     after a PodDefault was applied
  jupyter kfsecrets demo --restart-pod --choose aws        and chosen, as in the launcher
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="a notebook pod on this machine, in JupyterLab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port",
        type=_port,
        metavar="PORT",
        help="answer there or fail; default is 8888 or the next free one",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )
    parser.add_argument(
        "--dir",
        metavar="DIR",
        help="lay the pod out there: a new or empty directory, or that of an earlier demo, whose "
        "home is taken over. It is kept at the end. Without --dir, a temporary directory is used "
        "and removed at the end",
    )
    parser.add_argument(
        "--rotate", metavar="NAME", help="rotate the Secret NAME of a running demo, and exit"
    )
    parser.add_argument(
        "--restart-pod",
        action="store_true",
        help="start the pod of a running demo anew, and exit; Jupyter and its kernels go on",
    )
    parser.add_argument(
        "--choose",
        action="append",
        default=[],
        metavar="NAME",
        help="with --restart-pod, choose this PodDefault too; may be repeated",
    )
    parser.set_defaults(run=_run, fail=parser.error)


def _port(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; one is from 1 to 65535")
    return number


def _run(options: argparse.Namespace) -> int:
    from pathlib import Path

    if options.dir == "":
        options.fail("argument --dir: it is empty")
    directory = Path(options.dir) if options.dir is not None else None
    if options.choose and not options.restart_pod:
        options.fail("--choose goes with --restart-pod")
    if options.rotate is not None or options.restart_pod:
        if options.port is not None or options.no_browser:
            options.fail("--rotate and --restart-pod go with --dir alone")
        if options.rotate is not None and options.restart_pod:
            options.fail("--rotate and --restart-pod are two commands")
        if options.restart_pod:
            return _restart(options.choose, directory)
        return _rotate(options.rotate, directory)

    from kfsecrets_ext.demo.run import run

    run(directory, port=options.port, browser=not options.no_browser, say=_say)
    return 0


def _rotate(name: str, directory: Any) -> int:
    from kfsecrets_ext.demo.pod import find

    rotation = find(directory).rotate(name)
    _say(f"secret/{rotation.secret} {'created' if rotation.created else 'rotated'}")
    for path in rotation.updated:
        _say(f"  {path} shows the new value")
    for place in rotation.kept:
        _say(f"  {place} keeps the old value until the notebook starts anew")
    return 0


def _restart(choose: list[str], directory: Any) -> int:
    from kfsecrets_ext.demo.pod import find

    restart = find(directory).restart(choose)
    applied = ", ".join(restart.poddefaults) or "no PodDefaults"
    _say(f"pod/{restart.pod} started anew, with {applied}")
    for path in restart.mounted:
        _say(f"  {path} is mounted now")
    for path in restart.gone:
        _say(f"  {path} is gone")
    for name in restart.variables:
        _say(f"  {name} differs: Jupyter and its kernels get it when the demo starts")
    return 0


def _say(text: str) -> None:
    # At once, also into a file: the address is waited for.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
