"""What all tests share: the rig, and time for each example of a property."""

from __future__ import annotations

import contextlib

pytest_plugins = ["rig.fixtures"]

# the environment with the oldest Kubernetes client has no Hypothesis
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # how long an example takes is a matter of what else the machine does
    settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")
