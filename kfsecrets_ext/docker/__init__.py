"""Registry credentials: every Docker configuration there is, looked up as ``docker pull`` would.

Where the programs that read these files disagree, one of them is followed:

========================  ==================================================================
what                      rule
========================  ==================================================================
which file                ``$DOCKER_AUTH_CONFIG``, ``$DOCKER_CONFIG``, ``$REGISTRY_AUTH_FILE``,
                          ``~/.docker`` (unless ``$DOCKER_CONFIG`` is set), podman's
                          ``auth.json`` in ``$XDG_RUNTIME_DIR`` (else ``/run/containers/UID``)
                          and ``$XDG_CONFIG_HOME`` (else ``~/.config``), ``~/.dockercfg``, then
                          the mounted Secrets by name. The first that has credentials answers
                          (containers/image). A file that cannot be used is passed over, and is
                          raised only where no other answers.
names in a directory      ``config.json``, ``.dockerconfigjson``, ``.dockercfg``; ``config.json``
                          may be a directory with one of them in it, or empty: then it is absent
                          (go-containerregistry).
what is looked up         A key that is the argument itself; then the repository, each parent of
                          its path by whole segments, and the host (containers/image).
keys as URLs              Then keys with any scheme (docker CLI), ``/v1/``, ``/v2/`` or a slash at
                          the end, by their host and port. Of several the one with the longest
                          matching path; a URL's other path does not keep it from answering for
                          the host (all but the kubelet).
wildcards                 Last: ``*`` stands for any part of one label; the number of labels and
                          the port must be equal, a path is a scope (kubelet).
Docker Hub                ``docker.io``, ``index.docker.io``, ``registry-1.docker.io`` and URLs of
                          them are one host (containers/image). The host as asked for comes
                          first, then ``https://index.docker.io/v1/``, then the others.
case, port                Count, and nothing is added: ``ghcr.io:443`` is not ``ghcr.io`` (all).
the first match decides   An entry without credentials is an answer: none (docker CLI).
``auth``                  Standard base64, line breaks left out, padding correct or missing
                          (kubelet); a colon must be in it, NULs around the password are trimmed
                          (docker CLI), the user name may be empty (containers/image).
other fields              ``username`` and ``password`` where ``auth`` is missing, and
                          ``identitytoken``, ``registrytoken`` beside them (docker CLI).
a malformed entry         Is an error for the registries that it answers for, and for no other
                          (containers/image).
``credHelpers``           By the host or its URL (docker CLI), Docker Hub by any of its names. An
                          empty name stands for none.
``credsStore``            For every other registry. A helper's word counts, not the file's, when
                          helpers are run; else static entries answer, and a look-up that only
                          the helper could answer is an error that names it (docker CLI).
names in the JSON         In any case (Go). Of duplicate keys the last wins; sections that come
                          twice are merged (Go).
what is no JSON           Empty is an empty configuration, and what follows the first value is
                          not looked at (docker CLI). A byte order mark, UTF-16, NaN, deep nesting
                          and 2 MiB are errors. A byte that is no UTF-8 spoils its entry only.
``.dockercfg``            Entries without ``auths`` around them, and lines ``auth = …`` for Docker
                          Hub, under any file name (docker-py).
========================  ==================================================================

The argument is a registry, an image reference or a URL. ``localhost``, and a first part with a
dot or a port, is a host; everything else is an image of Docker Hub, as ``docker pull`` has it.
``name:number`` alone is a host where the number is 80, 443 or from 1000 to 65535
(``registry:5000``), else an image with its tag (``postgres:15``).
"""

from __future__ import annotations

from .credentials import DockerCredentials
from .document import Registry
from .lookup import DockerConfig, FileReport, files, get_docker_credentials
from .names import HUB

__all__ = [
    "HUB",
    "DockerConfig",
    "DockerCredentials",
    "FileReport",
    "Registry",
    "files",
    "get_docker_credentials",
]
