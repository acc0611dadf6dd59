"""What an administrator puts into tenants: Secrets as ``kubectl`` makes them, and grants.

`generic` and `docker_registry` make a Secret, `problems` says what the API server would refuse
of it, and `Grant` is the Secret with the PodDefault that mounts it, for tenants: `read_grants`
reads them from a file, `preset` makes the usual ones. `plan` compares them with what stands in
the tenants, `apply` does what a plan says, `rotate` brings new values, `remove` takes away.
`verify` proves that a notebook would get what was granted, `diagnose` looks at the platform
itself, and `handover` writes what a controller needs to go on alone.
"""

from __future__ import annotations

from .apply import WouldNotStart, apply
from .changes import Change, Plan
from .checks import advice, problems
from .compare import Field
from .diagnosis import Diagnosis, diagnose
from .from_secret import FromSecret
from .grant import BASE_NAME, GRANT_LABEL, Grant
from .grants import GrantFileError, load_grants, read_grants
from .handover import CannotHandOver, HandOver, handover
from .manifests import to_json, to_yaml
from .plan import plan
from .presets import preset
from .remove import remove
from .report import NotAReport, Report, Row
from .result import Check
from .rotate import NotGranted, Rotation, rotate
from .schema import SCHEMA
from .secret import SecretObject, docker_registry, generic
from .sources import (
    SourceError,
    from_environment_file,
    from_file,
    from_literal,
    from_prompt,
)
from .template import TemplateError
from .tenants import Tenant, TenantChoice, TenantNotFound, read_names, tenants, wait_for_tenant
from .uses import Use, uses
from .verify import Verification, verify

__all__ = [
    "BASE_NAME",
    "GRANT_LABEL",
    "SCHEMA",
    "CannotHandOver",
    "Change",
    "Check",
    "Diagnosis",
    "Field",
    "FromSecret",
    "Grant",
    "GrantFileError",
    "HandOver",
    "NotAReport",
    "NotGranted",
    "Plan",
    "Report",
    "Rotation",
    "Row",
    "SecretObject",
    "SourceError",
    "TemplateError",
    "Tenant",
    "TenantChoice",
    "TenantNotFound",
    "Use",
    "Verification",
    "WouldNotStart",
    "advice",
    "apply",
    "diagnose",
    "docker_registry",
    "from_environment_file",
    "from_file",
    "from_literal",
    "from_prompt",
    "generic",
    "handover",
    "load_grants",
    "plan",
    "preset",
    "problems",
    "read_grants",
    "read_names",
    "remove",
    "rotate",
    "tenants",
    "to_json",
    "to_yaml",
    "uses",
    "verify",
    "wait_for_tenant",
]
