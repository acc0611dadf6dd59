"""What is said of a kubeconfig and of the server in it: enough to mend it, and no credential."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rig.homes import VALUE, Json, says_no_value

from kfsecrets_ext.admin import diagnose
from kfsecrets_ext.cluster import NAMESPACE, connect
from kfsecrets_ext.cluster.session import Session
from kfsecrets_ext.errors import ClusterError, Unreachable
from kfsecrets_ext.values import SecretStr

SERVER = "https://127.0.0.1:1"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def kubeconfig(directory: Path, *, cluster: Json | None = None, user: Json | None = None) -> Path:
    place = directory / "config"
    held = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {"token": VALUE}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
    }
    place.write_text(json.dumps(held), encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"https://user:{VALUE}@127.0.0.1:1", SERVER),
        (f"https://{VALUE}@127.0.0.1:1/k8s/", f"{SERVER}/k8s"),
        (f"https://user:a@{VALUE}@127.0.0.1:1", SERVER),
        (f"https://user:a/{VALUE}@127.0.0.1:1", SERVER),
        (f"https://user:a?{VALUE}@127.0.0.1:1", SERVER),
        (f"https://127.0.0.1:1/?token={VALUE}", SERVER),
        (f"user:{VALUE}@127.0.0.1:1", "127.0.0.1:1"),
        (f"user:{VALUE}://@127.0.0.1:1", "127.0.0.1:1"),
        (f"http://user:{VALUE}@127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_no_login_in_the_address_of_the_server_is_shown(
    given: str, shown: str, tmp_path: Path
) -> None:
    place = kubeconfig(tmp_path, cluster={"server": SecretStr(given)})
    del given
    cluster = None
    try:
        cluster = connect(kubeconfig=place)
    except ClusterError as error:
        refused = error
    if cluster is None:
        # what is no address
        assert str(refused).startswith(f"{shown} cannot be connected to: ")
    else:
        assert cluster.server == shown
        with pytest.raises(Unreachable, match="no connection to it can be made") as caught:
            cluster.get(NAMESPACE, "default")
        refused = caught.value
        assert f"no answer from {shown} (" in str(refused)
        found = diagnose(cluster)
        assert found.server == shown
        assert VALUE not in f"{found!r}{found.to_json()}{cluster!r}"
    assert says_no_value(refused)


def test_a_login_in_the_servers_address_does_not_go_into_requests(tmp_path: Path) -> None:
    def opened(server: str, proxy: str) -> Session:
        place = kubeconfig(tmp_path, cluster={"server": server, "proxy-url": proxy})
        session: Session = connect(kubeconfig=place)._transport._session  # type: ignore[attr-defined]
        return session

    direct = f"https://user:{VALUE}@127.0.0.1:1/k8s"
    assert opened(direct, "http://127.0.0.1:2").base == "/k8s"
    # a proxy that is asked in plain HTTP is told the whole address
    plain = f"http://user:{VALUE}@127.0.0.1:1/k8s"
    assert opened(plain, "http://127.0.0.1:2").base == "http://127.0.0.1:1/k8s"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("user", "client-certificate"),
        ("user", "client-key"),
        ("user", "tokenFile"),
        ("cluster", "certificate-authority"),
    ],
)
def test_a_file_of_a_kubeconfig_that_is_missing_is_named(
    part: str, field: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.pem"
    whole.touch()
    entries: dict[str, Any] = {"user": {"token": VALUE}, "cluster": {}}
    if field.startswith("client-"):
        entries["user"] = {"client-certificate": str(whole), "client-key": str(whole)}
    entries[part][field] = "pki/none.pem"
    place = kubeconfig(tmp_path, **entries)
    with pytest.raises(ClusterError) as caught:
        connect(kubeconfig=place)
    # a path in a kubeconfig is relative to it
    assert str(caught.value) == (
        f"context 'prod' of {place} cannot be used: {tmp_path}/pki/none.pem, which its {part} "
        f"names as {field}, is not there. Put it there, or name another one."
    )
    assert says_no_value(caught.value)


@pytest.mark.parametrize(
    "user",
    [{"tokenFile": VALUE}, {"client-certificate": "/etc/hostname", "client-key": f"-\n{VALUE}/"}],
    ids=["token", "key"],
)
def test_a_credential_in_the_place_of_a_files_name_is_not_shown(user: Json, tmp_path: Path) -> None:
    place = kubeconfig(tmp_path, user={name: SecretStr(text) for name, text in user.items()})
    del user
    with pytest.raises(ClusterError, match=f"a file in {tmp_path}, which its user") as caught:
        connect(kubeconfig=place)
    assert says_no_value(caught.value)


def test_a_file_of_a_kubeconfig_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    # a directory: whoever is root may read every file
    (tmp_path / "token").mkdir()
    place = kubeconfig(tmp_path, user={"tokenFile": "./token"})
    with pytest.raises(ClusterError, match="names as tokenFile, is no file") as caught:
        connect(kubeconfig=place)
    assert "None" not in str(caught.value)


def test_a_kubeconfig_that_the_client_cannot_use_says_so_in_words(tmp_path: Path) -> None:
    authority = {"certificate-authority-data": f"{VALUE}é"}
    place = kubeconfig(tmp_path, cluster=authority)
    with pytest.raises(ClusterError) as caught:
        connect(kubeconfig=place)
    assert "None" not in str(caught.value)
    assert "its cluster or its user is incomplete" in str(caught.value)
    assert says_no_value(caught.value)
