"""A namespace, of a real cluster or the embedded one, is read with the rights of who asks."""

from __future__ import annotations

import base64
import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig.apiserver import ApiServer

from kfsecrets_ext.cli import main
from kfsecrets_ext.cluster.kubernetes import Kubernetes
from kfsecrets_ext.cluster.poddefaults import read_tenant
from kfsecrets_ext.cluster.transport import Transport
from kfsecrets_ext.errors import ClusterError, Forbidden, Unreachable

Json = dict[str, Any]
VALUE = "value-that-nobody-prints"
LITERAL = "literal-that-nobody-prints"
SPACE, OTHER = "lint-alice", "lint-bob"
EDITOR = f"system:serviceaccount:{SPACE}:default-editor"
STRANGER = f"system:serviceaccount:{OTHER}:default-editor"
real = pytest.mark.usefixtures("tenants")


def tutorial(name: str) -> Json:
    """The PodDefault of the tutorial, whose volume has the same name for every Secret."""
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "selector": {"matchLabels": {name: "true"}},
            "desc": name,
            "env": [{"name": f"{name.upper()}_PASSWORD", "value": LITERAL}],
            "volumes": [
                {"name": "secret-volume", "secret": {"secretName": name, "defaultMode": 420}}
            ],
            "volumeMounts": [{"name": "secret-volume", "mountPath": f"/secret/{name}"}],
        },
    }


@pytest.fixture(scope="module")
def tenants(api_server: ApiServer) -> ApiServer:
    for name in (SPACE, OTHER):
        api_server.create_tenant(name)
    for name in ("aws", "test"):
        api_server.create(
            f"/apis/kubeflow.org/v1alpha1/namespaces/{SPACE}/poddefaults", tutorial(name)
        )
    annotated = {"kubectl.kubernetes.io/last-applied-configuration": "x"}
    for name in ("test", "unrelated"):
        secret = {"metadata": {"name": name, "annotations": annotated}, "stringData": {"k": VALUE}}
        api_server.create(f"/api/v1/namespaces/{SPACE}/secrets", secret)
    return api_server


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this machine's configuration takes part."""
    for name in ("KFSECRETS_CLUSTER", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KFSECRETS_SERVICEACCOUNT", str(tmp_path / "account"))
    return


def status(*arguments: str) -> int:
    try:
        return main(["lint", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def kubeconfig(server: ApiServer, path: Path, **context: str) -> str:
    """A copy of the rig's kubeconfig with more in its context."""
    held = json.loads(server.kubeconfig.read_text(encoding="utf-8"))
    held["contexts"][0]["context"].update(context)
    path.write_text(yaml.safe_dump(held), encoding="utf-8")
    return str(path)


def hides(text: str, server: ApiServer | None = None) -> bool:
    held = [VALUE, LITERAL, base64.b64encode(VALUE.encode()).decode()]
    return not any(one in text for one in [*held, *([server.token] if server else [])])


@real
@pytest.mark.slow
@pytest.mark.platform
class TestKubernetes:
    def test_an_editor_sees_what_is_wrong_in_the_own_namespace(self, tenants, capsys) -> None:
        ours = ["--kubeconfig", str(tenants.kubeconfig), "--as", EDITOR, "-n", SPACE]
        assert status(*ours, "-o", "json") == 1
        said = capsys.readouterr()
        document = json.loads(said.out)

        found = {(one["code"], one["on"]): one for one in document["findings"]}
        clash = found["volume-clash", "secret-volume"]
        assert (clash["severity"], clash["subjects"]) == ("error", ["aws", "test"])
        assert clash["namespace"] == SPACE
        assert found["secret-missing", "aws"]["subjects"] == ["aws"]
        assert ("secret-missing", "test") not in found
        assert not any(code == "namespace-without-label" for code, _ in found)
        assert document["source"] == {
            "cluster": "kubernetes",
            "server": tenants.url,
            "context": "rig",
        }
        assert (document["notes"], said.err) == ([], "")
        assert document["summary"]["poddefaults"] == 2
        assert hides(said.out, tenants)

    def test_the_table_names_server_and_context(self, tenants, capsys) -> None:
        assert status("--kubeconfig", str(tenants.kubeconfig), "-n", SPACE) == 1
        said = capsys.readouterr()
        assert f"in {SPACE} of {tenants.url} (context rig): 1 error" in said.err
        assert "\nerror     volume-clash" in said.out
        assert hides(said.out + said.err, tenants)

    def test_a_stranger_is_told_what_is_not_allowed(self, tenants, capsys) -> None:
        ours = ["--kubeconfig", str(tenants.kubeconfig), "--as", STRANGER, "-n", SPACE]
        assert status(*ours) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err == (
            f"jupyter kfsecrets lint: {STRANGER} may not list PodDefaults in namespace "
            f"'{SPACE}' of {tenants.url}.\n"
        )

    def test_a_viewer_gets_the_findings_and_what_could_not_be_checked(
        self, tenants, capsys
    ) -> None:
        viewer = EDITOR.replace("editor", "viewer")
        ours = ["--kubeconfig", str(tenants.kubeconfig), "--as", viewer, "-n", SPACE]
        assert status(*ours, "-o", "json") == 1
        document = json.loads(capsys.readouterr().out)
        codes = {one["code"] for one in document["findings"]}
        assert "volume-clash" in codes
        assert "secret-missing" not in codes
        (note,) = document["notes"]
        assert "Secrets" in note
        assert "403" in note

    def test_a_namespace_without_the_label_is_found(self, tenants, capsys) -> None:
        tenants.create_tenant("lint-unseen", labels={})
        poddefault = tutorial("aws")
        poddefault["metadata"]["namespace"] = "lint-unseen"
        path = "/apis/kubeflow.org/v1alpha1/namespaces/lint-unseen/poddefaults"
        tenants.create(path, poddefault)
        ours = ["--kubeconfig", str(tenants.kubeconfig), "-n", "lint-unseen", "-o", "json"]
        assert status(*ours) == 0
        codes = {one["code"] for one in json.loads(capsys.readouterr().out)["findings"]}
        assert "namespace-without-label" in codes
        assert status(*ours, "--strict") == 1

    def test_the_namespace_is_the_contexts_unless_another_is_given(
        self, tenants, tmp_path, monkeypatch, capsys
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tenants, tmp_path / "c", namespace=SPACE))
        assert status("-o", "json") == 1
        assert json.loads(capsys.readouterr().out)["summary"]["namespaces"] == [SPACE]
        assert status("-n", OTHER, "-o", "json") == 0
        assert json.loads(capsys.readouterr().out)["summary"]["namespaces"] == [OTHER]

    def test_with_no_namespace_anywhere_none_is_guessed(
        self, tenants, tmp_path, monkeypatch, capsys
    ) -> None:
        (tmp_path / ".kube").mkdir()
        kubeconfig(tenants, tmp_path / ".kube" / "config")
        assert status() == 2
        assert "give one with -n" in capsys.readouterr().err
        monkeypatch.setenv("NB_PREFIX", f"/notebook/{SPACE}/nb")
        assert status("-o", "json") == 1
        assert json.loads(capsys.readouterr().out)["summary"]["namespaces"] == [SPACE]

    def test_a_pod_asks_with_its_own_service_account(
        self, tenants, tmp_path, monkeypatch, capsys
    ) -> None:
        path = f"/api/v1/namespaces/{SPACE}/serviceaccounts/default-editor/token"
        token = tenants.create(path, {"spec": {}})["status"]["token"]
        account = tmp_path / "account"
        account.mkdir()
        (account / "token").write_text(token)
        (account / "namespace").write_text(SPACE)
        (account / "ca.crt").write_bytes(tenants.authority.read_bytes())
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", tenants.host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(tenants.port))
        assert status("-o", "json") == 1
        said = capsys.readouterr().out
        assert json.loads(said)["source"]["context"] is None
        assert "volume-clash" in said
        assert token not in said

        (account / "token").write_text("expired")
        assert status() == 1
        assert "does not know who asks" in capsys.readouterr().err

    def test_a_namespace_that_is_not_there_is_no_empty_one(self, tenants, capsys) -> None:
        assert status("--kubeconfig", str(tenants.kubeconfig), "-n", "lint-nobody") == 1
        assert "has no namespace 'lint-nobody'" in capsys.readouterr().err

    def test_files_give_the_findings_that_the_cluster_gives(
        self, tenants, tmp_path, capsys
    ) -> None:
        path = f"/apis/kubeflow.org/v1alpha1/namespaces/{SPACE}/poddefaults"
        (tmp_path / "list.json").write_text(json.dumps(tenants.call("GET", path).body))
        assert status("-f", str(tmp_path / "list.json"), "-o", "json") == 1
        files = json.loads(capsys.readouterr().out)["findings"]
        for one in files:
            assert {place["poddefault"] for place in one.pop("places")} == set(one["subjects"])
        status("--kubeconfig", str(tenants.kubeconfig), "-n", SPACE, "-o", "json")
        cluster = json.loads(capsys.readouterr().out)["findings"]
        for one in cluster:
            assert one.pop("places") == []
        assert files == [one for one in cluster if one["code"] != "secret-missing"]

    def test_no_value_of_a_secret_crosses_the_wire_and_no_body_is_logged(
        self, tenants, monkeypatch, caplog
    ) -> None:
        bodies = []
        ask = Transport.ask

        def watched(self, method, path, **options):
            answer = ask(self, method, path, **options)
            bodies.append((path, answer.body.decode()))
            return answer

        monkeypatch.setattr(Transport, "ask", watched)
        with caplog.at_level(logging.DEBUG):
            tenant = read_tenant(SPACE, kubeconfig=str(tenants.kubeconfig))
        assert tenant.secrets == {"test", "unrelated"}
        (secrets,) = [body for url, body in bodies if "/secrets?" in url]
        assert "unrelated" in secrets
        assert hides(secrets)
        assert hides(caplog.text, tenants)
        assert hides(repr(tenant), tenants)

    def test_long_lists_are_read_in_pages(self, tenants, monkeypatch) -> None:
        whole = read_tenant(SPACE, kubeconfig=str(tenants.kubeconfig))
        monkeypatch.setitem(Kubernetes.list.__kwdefaults__, "page", 1)
        paged = read_tenant(SPACE, kubeconfig=str(tenants.kubeconfig))
        assert [one["metadata"]["name"] for one in paged.poddefaults] == ["aws", "test"]
        assert paged == whole

    def test_an_untrusted_server_is_not_asked(self, tenants, tmp_path) -> None:
        import trustme

        held = json.loads(tenants.kubeconfig.read_text(encoding="utf-8"))
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        held["clusters"][0]["cluster"]["certificate-authority"] = str(tmp_path / "other.pem")
        (tmp_path / "config").write_text(json.dumps(held))
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            read_tenant(SPACE, kubeconfig=str(tmp_path / "config"))


CONFIG: Json = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {"token": VALUE}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


def changed(change) -> str:
    held = copy.deepcopy(CONFIG)
    change(held)
    return json.dumps(held)


@pytest.mark.parametrize(
    ("content", "options", "kind", "words"),
    [
        (json.dumps(CONFIG), {}, Unreachable, r"127.0.0.1:9 \(no connection"),
        (json.dumps(CONFIG), {"context": "y"}, ClusterError, "no context 'y'; it has x"),
        (f"token: [{VALUE}", {}, ClusterError, "no kubeconfig that can be read"),
        (VALUE, {}, ClusterError, "no kubeconfig that can be read"),
        (changed(lambda c: c.pop("current-context")), {}, ClusterError, "--context"),
        (changed(lambda c: c["clusters"].clear()), {}, ClusterError, "cannot be used"),
        (None, {}, ClusterError, "there is no kubeconfig"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_said_without_quoting_it(
    tmp_path: Path, capfd, caplog, content, options, kind, words
) -> None:
    place = tmp_path / "config"
    if content is not None:
        place.write_text(content)
    with pytest.raises(kind, match=words) as caught:
        read_tenant("alice", kubeconfig=str(place), **options)
    assert caught.value.__context__ is None
    said = capfd.readouterr()
    assert VALUE not in str(caught.value) + said.out + said.err + caplog.text
    assert said.err == ""


def test_without_any_cluster_it_says_so(capsys) -> None:
    assert status("-n", "alice") == 1
    assert "there is no cluster to ask" in capsys.readouterr().err
    with pytest.raises(ClusterError, match="look up context 'x'"):
        read_tenant("alice", context="x")


def test_forbidden_is_a_cluster_error() -> None:
    assert issubclass(Forbidden, ClusterError)


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "cluster"
    space = home / "namespaces" / SPACE
    (space / "poddefaults").mkdir(parents=True)
    (space / "secrets").mkdir()
    (home / "pod.json").write_text(json.dumps({"metadata": {"namespace": SPACE}}))
    (space / "secrets" / "test.json").write_text(json.dumps({"data": {"k": VALUE}}))
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home))
    return space


def test_the_embedded_cluster_is_checked_as_a_real_one_is(embedded: Path, capsys) -> None:
    (embedded / "poddefaults" / "aws.json").write_text(json.dumps(tutorial("aws")))
    (embedded / "poddefaults" / "test.yaml").write_text(yaml.safe_dump(tutorial("test")))
    (embedded / "namespace.json").write_text(
        json.dumps({"kind": "Namespace", "metadata": {"name": SPACE, "labels": {}}})
    )
    assert status("-o", "json") == 1
    said = capsys.readouterr().out
    document = json.loads(said)
    codes = {(one["code"], one["on"]) for one in document["findings"]}
    assert ("volume-clash", "secret-volume") in codes
    assert ("secret-missing", "aws") in codes
    assert ("secret-missing", "test") not in codes
    assert "namespace-without-label" in {code for code, _ in codes}
    assert document["source"]["cluster"] == "embedded"
    assert hides(said)


def test_an_embedded_cluster_without_poddefaults_says_so(embedded: Path, capsys) -> None:
    assert status() == 0
    assert "keeps no PodDefaults" in capsys.readouterr().err
    for name in ("nobody", "..", "../../etc"):
        assert status("-n", name) == 1
        assert "has no namespace" in capsys.readouterr().err


def test_a_kubeconfig_that_is_named_comes_before_the_embedded_cluster(embedded, tmp_path) -> None:
    (tmp_path / "config").write_text(json.dumps(CONFIG))
    with pytest.raises(Unreachable):
        read_tenant(SPACE, kubeconfig=str(tmp_path / "config"))
