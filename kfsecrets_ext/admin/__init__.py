"""What an administrator puts into tenants: Secrets as ``kubectl`` makes them, and grants.

`generic` and `docker_registry` make a Secret, `problems` says what the API server would refuse
of it, and `Grant` is the Secret with the PodDefault that mounts it. Nothing here asks a cluster.
"""

from __future__ import annotations

from .checks import advice, problems
from .grant import Grant
from .manifests import to_json, to_yaml
from .secret import SecretObject, docker_registry, generic
from .sources import (
    SourceError,
    from_environment_file,
    from_file,
    from_literal,
    from_prompt,
)

__all__ = [
    "Grant",
    "SecretObject",
    "SourceError",
    "advice",
    "docker_registry",
    "from_environment_file",
    "from_file",
    "from_literal",
    "from_prompt",
    "generic",
    "problems",
    "to_json",
    "to_yaml",
]
