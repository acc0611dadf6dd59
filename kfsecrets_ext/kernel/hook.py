"""Put the guard on each IPython kernel of an environment, before a message can leave it.

The wheel installs this file beside the packages, as ``_kfsecrets_guard.py``, with a ``.pth`` and a
``.start`` file (PEP 829) that call `wait` when Python starts. It imports nothing until the process
becomes a kernel: every start of Python pays for it.
"""

import sys

__all__ = ["wait"]

_AWAITED = "ipykernel.kernelapp"


class _Waiting:
    """A finder that finds nothing; it sees what is imported."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG003
        if name == _AWAITED:
            sys.meta_path.remove(cls)
            _put_on()


def wait() -> None:
    """Put the guard on as soon as this process imports what makes it a kernel."""
    if _Waiting not in sys.meta_path:
        sys.meta_path.insert(0, _Waiting)


def _put_on() -> None:
    try:
        from kfsecrets_ext.kernel.guard import put_on
    except BaseException as error:  # noqa: BLE001 - whatever it is, no output may pass
        reason = f"kfsecrets_ext could not be loaded ({type(error).__name__})."
    else:
        try:
            put_on()
            return
        except BaseException as error:  # noqa: BLE001
            reason = f"The guard could not be put on ({type(error).__name__})."
    from _kfsecrets_closed import close

    close(reason)
