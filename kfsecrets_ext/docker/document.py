"""One configuration file: its JSON, its entries, and what each of them holds."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from kfsecrets_ext.errors import DockerConfigError
from kfsecrets_ext.values import SecretBytes, SecretStr

from .helper import is_helper
from .names import HUB, HUB_HOSTS, Key, Reference, parse_key, shown

__all__ = [
    "LIMIT",
    "Document",
    "Fields",
    "Registry",
    "Sealed",
    "parse_bytes",
    "parse_mapping",
    "parse_text",
]

LIMIT = 2 << 20
"""A file of this many bytes or more is no configuration file (a Secret holds at most 1 MiB)."""

RegistryKind = Literal["static", "token", "helper", "empty", "invalid"]

_TEXT_FIELDS = frozenset(
    {
        "auth",
        "email",
        "identitytoken",
        "password",
        "registrytoken",
        "serveraddress",
        "username",
    }
)
_CREDENTIAL_FIELDS = _TEXT_FIELDS - {"email", "serveraddress"}
_SECTIONS = frozenset({"auths", "credhelpers", "credsstore"})
_LEGACY_LINE = re.compile(r"[ \t]*(auth|email)[ \t]*=[ \t]*(\S+)[ \t]*", re.ASCII)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_REMEMBERED = 256
_SURROGATE = re.compile("[\ud800-\udfff]")


class Sealed:
    """Something that holds values, and does not show them."""

    __slots__ = ("content",)

    def __init__(self, content: Any):
        self.content = content

    def __repr__(self) -> str:
        return "Sealed()"


@dataclass(frozen=True)
class Registry:
    """A registry that a configuration file names.

    Attributes
    ----------
    name : str
        The key as written; ``"*"`` where ``credsStore`` answers for every registry.
    kind : str
        ``"static"`` (user name and password), ``"token"``, ``"helper"``, ``"empty"`` or
        ``"invalid"``.
    helper : str or None
        The credential helper's name.
    reason : str or None
        What is wrong with the entry.
    """

    name: str
    kind: RegistryKind
    helper: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Fields:
    """What an entry holds; texts that are not there are empty.

    Attributes
    ----------
    username : str
    password, identity_token, registry_token : SecretStr
    auth : SecretStr
        The base64 form as the file has it.
    """

    username: str
    password: SecretStr
    identity_token: SecretStr
    registry_token: SecretStr
    auth: SecretStr

    def __repr__(self) -> str:
        return "Fields()"

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)


class Document:
    """A configuration file that could be read; its entries are decoded when they are asked for.

    Attributes
    ----------
    path : str or None
        The file, for errors.
    label : str
        What the file's values are called when they are masked.
    recognised : bool
        Whether anything in it says that it is a Docker configuration.
    store : str
        The ``credsStore``, ``""`` if there is none.
    """

    def __init__(
        self,
        sections: _Sections,
        *,
        path: str | None = None,
        label: str = "registry",
    ):
        self.path = path
        self.label = label
        self.recognised = sections.recognised
        self.store = sections.store
        self._section = "" if sections.legacy else "auths"
        self._auths = sections.auths
        self._helpers = sections.helpers
        self._found: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"Document(path={self.path!r})"

    def find(self, reference: Reference) -> str | None:
        """Return the key of the entry that answers, or ``None``.

        Parameters
        ----------
        reference : Reference

        Returns
        -------
        str or None
            The rule is in the package's description.
        """
        known = self._found
        if reference.text in known:
            # Another thread may clear it in between.
            return known.get(reference.text) or self._find(reference)
        if len(known) >= _REMEMBERED:
            known.clear()
        found = known[reference.text] = self._find(reference)
        return found

    def _find(self, reference: Reference) -> str | None:
        auths = self._auths
        if reference.text in auths:
            return reference.text
        for scope in reference.scopes:
            for host in reference.hosts:
                name = f"{host}/{scope}" if scope else host
                if name in auths:
                    return name
                if f"{name}/" in auths:
                    return f"{name}/"
                if not scope and reference.is_hub and HUB in auths:
                    return HUB
        return self._normalised(reference) or self._matching(reference)

    def fields(self, key: str) -> Fields:
        """Decode an entry.

        Parameters
        ----------
        key : str

        Returns
        -------
        Fields

        Raises
        ------
        DockerConfigError
            The entry is malformed. The others are not concerned.
        """
        name, reason = "", ""
        texts = _texts(Sealed(self._auths[key]))
        if isinstance(texts, _Problem):
            name, reason = texts.field, texts.reason
        else:
            fields = _fields(texts)
            if not isinstance(fields, _Problem):
                return fields
            name, reason = fields.field, fields.reason
        raise DockerConfigError(reason, path=self.path, place=self._place(key, name))

    def helper_for(self, reference: Reference) -> str:
        """Return the credential helper that answers for a registry, ``""`` if none does.

        Parameters
        ----------
        reference : Reference

        Returns
        -------
        str

        Raises
        ------
        DockerConfigError
            ``credHelpers`` has no name of a helper there.
        """
        key = self._helper_key(reference)
        if key is None:
            return self.store
        helper = self._helpers[key]
        if isinstance(helper, str):
            return helper
        raise DockerConfigError(
            "the name of a credential helper must be a text.",
            path=self.path,
            place=f'credHelpers["{shown(key)}"]',
        )

    def registries(self) -> Iterator[Registry]:
        """Yield each registry that the file names, in the file's order.

        Yields
        ------
        Registry
        """
        for key, helper in self._helpers.items():
            if helper != "":
                yield _helped(shown(key), helper)
        for key in self._auths:
            if self._helpers.get(key):
                continue
            yield self._describe(key)
        if self.store:
            yield _helped("*", self.store)

    def _describe(self, key: str) -> Registry:
        try:
            fields = self.fields(key)
        except DockerConfigError as error:
            return Registry(shown(key), "invalid", reason=str(error.reason))
        if fields.identity_token or fields.registry_token:
            return Registry(shown(key), "token")
        if fields:
            return Registry(shown(key), "static")
        if self.store:
            return _helped(shown(key), self.store)
        return Registry(shown(key), "empty", reason="the entry has no credentials in it.")

    def _place(self, key: str, field: str) -> str:
        place = f'{self._section}["{shown(key)}"]'
        return f"{place}.{field}" if field else place

    def _helper_key(self, reference: Reference) -> str | None:
        helpers = self._helpers
        if not helpers:
            return None
        if reference.text in helpers:
            return reference.text
        # docker CLI looks for Docker Hub's key, containers/image for its host
        names = (reference.host, HUB, *reference.hosts) if reference.is_hub else reference.hosts
        for name in names:
            if name in helpers:
                return name
        for name in helpers:
            key = parse_key(name)
            if key.host in reference.hosts and (key.has_scheme or not key.path):
                return name
        return None

    def _normalised(self, reference: Reference) -> str | None:
        """Find a key that is a URL of the host, or is written another way."""
        path = reference.path
        best: tuple[bool, int, int, bool] | None = None
        found: str | None = None
        # Taking a key apart is slow: of a thousand, look at those that can be meant.
        common = HUB_HOSTS[0] if reference.is_hub else reference.host
        for key in (parse_key(text) for text in self._auths if common in text):
            if key.host not in reference.hosts:
                continue
            covers = key.covers(path)
            if not covers and not key.has_scheme:
                continue
            depth = len(key.path)
            rank = (
                covers,
                depth if covers else -depth,
                -reference.hosts.index(key.host),
                key.text.startswith("https://"),
            )
            if best is None or rank > best:
                best, found = rank, key.text
        return found

    def _matching(self, reference: Reference) -> str | None:
        """Find a wildcard key: the longest path first, then the most literal host."""
        path = reference.path
        found = [
            key for key in self._globs if key.covers(path) and key.matches_host(reference.host)
        ]
        if not found:
            return None
        best = max(
            found,
            key=lambda key: (len(key.path), -key.host.count("*"), len(key.host), key.host),
        )
        return best.text

    @cached_property
    def _globs(self) -> tuple[Key, ...]:
        keys = (parse_key(text) for text in self._auths if "*" in text)
        return tuple(key for key in keys if key.is_glob)


def parse_bytes(data: SecretBytes, *, path: str | None = None, label: str = "registry") -> Document:
    """Parse a configuration file.

    Parameters
    ----------
    data : SecretBytes
        The file's bytes.
    path : str, optional
        Its path, for errors.
    label : str
        What its values are called when they are masked.

    Returns
    -------
    Document

    Raises
    ------
    DockerConfigError
        It is too large, in another encoding, no JSON, or JSON of another shape.
    """
    data = SecretBytes(data)
    if len(data) >= LIMIT:
        raise _too_large(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 in data[:4]:
        raise DockerConfigError(
            "the file is not in UTF-8 (it looks like UTF-16 or UTF-32). Save it as UTF-8.",
            path=path,
            place="byte 0",
        )
    # A byte that is no UTF-8 spoils the entry that it is in, not the file.
    return parse_text(SecretStr(data.decode("utf-8", "surrogateescape")), path=path, label=label)


def parse_text(text: SecretStr, *, path: str | None = None, label: str = "registry") -> Document:
    """Parse the text of a configuration file.

    Parameters
    ----------
    text : SecretStr
    path, label : str
        As for `parse_bytes`.

    Returns
    -------
    Document

    Raises
    ------
    DockerConfigError
    """
    text = SecretStr(text)
    if len(text) >= LIMIT:
        raise _too_large(path)
    if text.startswith("\ufeff"):
        raise DockerConfigError(
            "the file begins with a byte order mark, which Docker does not accept. "
            "Save it as UTF-8 without one.",
            path=path,
            place="byte 0",
        )
    parsed = _scan(text)
    if isinstance(parsed, _Problem):
        legacy = _legacy_text(text)
        if legacy is None:
            raise DockerConfigError(parsed.reason, path=path, place=parsed.field)
        parsed = legacy
    sections = _sections(parsed)
    if isinstance(sections, _Problem):
        raise DockerConfigError(sections.reason, path=path, place=sections.field)
    return Document(sections, path=path, label=label)


def parse_mapping(content: Sealed) -> Document:
    """Parse a configuration that is there as a mapping.

    Parameters
    ----------
    content : sealed mapping

    Returns
    -------
    Document

    Raises
    ------
    DockerConfigError
    """
    text = _dumped(content)
    if text is None:
        raise DockerConfigError("the mapping cannot be written as JSON.")
    return parse_text(text)


@dataclass(frozen=True)
class _Problem:
    field: str
    reason: str


class _Sections:
    """The parts of a configuration that concern credentials."""

    __slots__ = ("auths", "helpers", "legacy", "recognised", "store")

    def __init__(self) -> None:
        self.auths: dict[str, Any] = {}
        self.helpers: dict[str, Any] = {}
        self.store = ""
        self.legacy = False
        self.recognised = False


def _helped(name: str, helper: object) -> Registry:
    if is_helper(helper):
        return Registry(name, "helper", str(helper))
    return Registry(name, "invalid", reason="this can be no credential helper's name.")


def _too_large(path: str | None) -> DockerConfigError:
    return DockerConfigError(
        f"the file has {LIMIT >> 20} MiB or more, which no Docker configuration has.", path=path
    )


def _dumped(content: Sealed) -> SecretStr | None:
    try:
        return SecretStr(json.dumps(content.content, default=_plain))
    except (TypeError, ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _number(_: str) -> int:
    return 0  # none of them counts, and Python refuses those of many digits


def _no_constant(_: str) -> None:
    raise ValueError  # Go: NaN and Infinity are no JSON


# Objects become tuples of pairs, which arrays never are: nothing is built that is not looked at,
# and of duplicate keys none is lost.
_decoder = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=_number, parse_float=_number, parse_constant=_no_constant
)


def _scan(text: SecretStr) -> Sealed | _Problem:
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        return Sealed(())  # docker CLI: an empty file is an empty configuration
    line, column = 0, 0
    try:
        # docker CLI: what follows the first value is not looked at
        return Sealed(_decoder.raw_decode(text, start)[0])
    except json.JSONDecodeError as error:
        line, column = error.lineno, error.colno
    except RecursionError:
        return _Problem("", "the JSON is nested too deeply.")
    except ValueError:
        return _Problem("", "NaN and Infinity are no JSON.")
    return _Problem(f"line {line}, column {column}", "this is not JSON.")


def _legacy_text(text: SecretStr) -> Sealed | None:
    """Read the oldest ``.dockercfg``: lines ``auth = …`` and ``email = …``, for Docker Hub."""
    pairs: dict[str, SecretStr] = {}
    for line in text.splitlines():
        match = _LEGACY_LINE.fullmatch(line)
        if match is None:
            if line.strip():
                return None
        else:
            pairs[match[1]] = SecretStr(match[2])
    if "auth" not in pairs:
        return None
    return Sealed((("auths", ((HUB, tuple(pairs.items())),)),))


def _sections(parsed: Sealed) -> _Sections | _Problem:
    pairs = parsed.content
    if pairs is None:
        return _Sections()
    if type(pairs) is not tuple:
        return _Problem("", "the outermost value must be a JSON object.")
    sections = _Sections()
    for name, content in pairs:
        # Go: encoding/json takes names in any case
        section = name.lower()
        if section not in _SECTIONS:
            continue
        sections.recognised = True
        if section == "credsstore":
            if content is not None and type(content) is not str:
                return _Problem(name, "the name of a credential helper must be a text.")
            sections.store = content or ""
            continue
        kept = sections.auths if section == "auths" else sections.helpers
        if content is None:
            kept.clear()
        elif type(content) is tuple:
            kept.update(content)
        else:
            return _Problem(name, "this must be a JSON object.")
    if not sections.recognised:
        _take_legacy(pairs, sections)
    return sections


def _take_legacy(pairs: tuple[tuple[str, Any], ...], sections: _Sections) -> None:
    """Take the layout of ``.dockercfg``: the entries without ``auths`` around them."""
    for name, content in pairs:
        if type(content) is not tuple or not _looks_like_host(name):
            continue
        if any(field.lower() in _CREDENTIAL_FIELDS for field, _ in content):
            sections.auths[name] = content
    sections.legacy = sections.recognised = bool(sections.auths)


def _looks_like_host(name: str) -> bool:
    host = parse_key(name).host
    return "." in host or ":" in host or host in ("localhost", *HUB_HOSTS)


def _texts(entry: Sealed) -> dict[str, SecretStr] | _Problem:
    """Return the fields of an entry that matter, or what is wrong with them."""
    pairs = entry.content
    texts: dict[str, SecretStr] = {}
    if pairs is None:
        return texts
    if type(pairs) is not tuple:
        return _Problem("", "an entry must be a JSON object.")
    for name, content in pairs:
        field = name.lower()
        if field not in _TEXT_FIELDS or content is None:
            continue
        if not isinstance(content, str):
            return _Problem(field, "this must be a text.")
        if _SURROGATE.search(content):
            return _Problem(field, "this is not valid UTF-8.")
        texts[field] = SecretStr(content)
    return texts


def _fields(texts: dict[str, SecretStr]) -> Fields | _Problem:
    none = SecretStr("")
    username = str(texts.get("username", ""))
    password = texts.get("password", none)
    auth = texts.get("auth", none)
    if auth:
        decoded = _decode_auth(auth)
        if isinstance(decoded, _Problem):
            return decoded
        username, password = decoded
    return Fields(
        username,
        password,
        texts.get("identitytoken", none),
        texts.get("registrytoken", none),
        auth,
    )


def _decode_auth(auth: SecretStr) -> tuple[str, SecretStr] | _Problem:
    # Go: base64 decoders skip line breaks; kubelet: the padding may be missing
    compact = SecretBytes(auth.replace("\r", "").replace("\n", "").encode("utf-8", "surrogatepass"))
    body = SecretBytes(compact.rstrip(b"="))
    padded = len(body) != len(compact)
    if not _BASE64.fullmatch(compact) or len(body) % 4 == 1 or (padded and len(compact) % 4 != 0):
        return _Problem("auth", "this is not base64.")
    try:
        decoded = SecretStr(binascii.a2b_base64(body + b"=" * (-len(body) % 4)).decode("utf-8"))
    except UnicodeDecodeError:
        return _Problem("auth", "this does not decode to UTF-8 text.")
    username, colon, password = decoded.partition(":")
    if not colon:
        return _Problem("auth", "this is not the base64 form of 'user:password'.")
    # docker CLI: decodeAuth trims the NULs that old versions padded with
    return username, SecretStr(password.strip("\0"))
