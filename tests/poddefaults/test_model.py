"""PodDefaults as users have them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kfsecrets_ext.poddefaults import (
    NotAManifest,
    PodDefault,
    lint,
    read_manifests,
    write_manifests,
)

TUTORIAL = """\
apiVersion: "kubeflow.org/v1alpha1"
kind: PodDefault
metadata:
  name: test-secret
  namespace: alice
spec:
 selector:
  matchLabels:
    test-secret: "true"
 desc: "test-secret"
 volumeMounts:
 - name: secret-volume
   mountPath: /secret/test-secret
 volumes:
 - name: secret-volume
   secret:
    secretName: test-secret
"""


def test_the_tutorial_is_read_and_written_unchanged():
    (poddefault,) = read_manifests(TUTORIAL).poddefaults

    assert (poddefault.name, poddefault.namespace) == ("test-secret", "alice")
    assert poddefault.desc == "test-secret"
    assert poddefault.selector.matches({"test-secret": "true"})
    again = read_manifests(write_manifests([poddefault]))
    assert again.poddefaults == (poddefault,)


def test_documents_lists_and_other_kinds_are_told_apart():
    text = f"""\
{TUTORIAL}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: Secret, metadata: {{name: s}}, data: {{k: aHVudGVyMg==}}}}
- apiVersion: kubeflow.org/v1alpha1
  kind: PodDefaultList
  items:
  - {{metadata: {{name: second}}, spec: {{selector: {{}}}}}}
---
[{{kind: Pod, metadata: {{name: nb-0}}}}]
"""
    manifests = read_manifests(text)

    assert [p.name for p in manifests.poddefaults] == ["test-secret", "second"]
    assert [o["kind"] for o in manifests.others] == ["Secret", "Pod"]
    assert "aHVudGVyMg" not in repr(manifests)


def test_unknown_fields_stay_out_with_a_finding():
    text = TUTORIAL.replace(" desc:", "  desc:") + "   mode: 420\n"

    manifests = read_manifests(text)

    assert {f.on for f in manifests.findings} == {"spec.selector.desc", "spec.volumes[0].mode"}
    (poddefault,) = manifests.poddefaults
    assert "desc" not in poddefault.spec["selector"]
    assert "mode" not in poddefault.spec["volumes"][0]
    assert not [f for f in lint([poddefault.to_mapping()]) if f.code == "field-pruned"]


def test_known_fields_keep_their_explicit_zeros():
    given = {
        "metadata": {"name": "p"},
        "spec": {
            "command": [],
            "volumes": [{"name": "v", "secret": {"defaultMode": 0, "optional": False}}],
        },
    }
    assert PodDefault.from_mapping(given).spec == given["spec"]


def test_json_is_read_too():
    (poddefault,) = read_manifests(
        '{"kind": "PodDefault", "metadata": {"name": "p"}, "spec": {"selector": {}}}'
    ).poddefaults
    assert poddefault.name == "p"


@pytest.mark.parametrize(
    "text",
    [
        "kind: Secret\nstringData: {password: 'hunter2\n",
        "kind: Secret\nstringData: !hunter2 {a: b}\n",
        "hunter2\n",
        "- hunter2\n",
        "{a: hunter2}\n",
        b"\xff\xfehunter2\x00",
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_it(text):
    with pytest.raises(NotAManifest) as caught:
        read_manifests(text)

    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "hunter2" not in f"{error} {error.args}"


def test_a_value_that_is_no_text_is_said_to_need_quotes():
    text = TUTORIAL.replace('"true"', "true")
    (poddefault,) = read_manifests(text).poddefaults

    (finding,) = [f for f in lint([poddefault.to_mapping()]) if f.code == "selector-unreadable"]

    assert "quotes" in finding.what


def test_a_literal_is_not_in_the_repr_of_a_poddefault():
    given = {"metadata": {"name": "p"}, "spec": {"env": [{"name": "E", "value": "hunter2"}]}}

    assert "hunter2" not in repr(PodDefault.from_mapping(given))


def test_the_import_is_light():
    program = "import sys, kfsecrets_ext.poddefaults; print('yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"


def test_the_place_of_a_fault_is_named():
    with pytest.raises(NotAManifest, match="line 2, column 7: this is not YAML") as caught:
        read_manifests("kind: Secret\ndata: ]\n")

    assert (caught.value.line, caught.value.column) == (2, 7)
