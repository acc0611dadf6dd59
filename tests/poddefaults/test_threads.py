"""Threads of users that a linter would have prevented: what each had, and the finding it gets."""

from __future__ import annotations

import pytest

from kfsecrets_ext.poddefaults import lint, read_manifests

THREADS = {
    "kubeflow#5395 podDefaults not being applied (desc indented into selector)": (
        "field-pruned",
        """
        metadata: {name: access-ml-pipeline}
        spec:
          selector:
            matchLabels: {access-ml-pipeline: "true"}
            desc: Allow access to Kubeflow Pipelines
        """,
    ),
    "PR kubeflow#6847 do not block mounting one volume multiple times": (
        "volume-clash",
        """
        metadata: {name: p}
        spec:
          selector: {matchLabels: {p: "true"}}
          volumes: [{name: v, secret: {secretName: s}}]
          volumeMounts:
          - {name: v, mountPath: /a/one, subPath: one}
          - {name: v, mountPath: /a/two, subPath: two}
        """,
    ),
    "notebooks#31, notebooks#99, PR kubeflow#6983 KeyError matchLabels": (
        "launcher-breaks",
        """
        metadata: {name: p}
        spec:
          selector: {matchExpressions: [{key: p, operator: Exists}]}
        """,
    ),
    "kubeflow#3918 Jupyter web app 500 listing poddefaults (KeyError desc)": (
        "no-description",
        """
        metadata: {name: p}
        spec: {selector: {matchLabels: {p: "true"}}}
        """,
    ),
    "notebooks#121, kubeflow#7552 configurations keyed by selector key, not name": (
        "label-differs-from-name",
        """
        metadata: {name: access-pipelines}
        spec: {desc: x, selector: {matchLabels: {access-ml-pipeline: "true"}}}
        """,
    ),
    "kubeflow#6111 Support key-value for configurations": (
        "launcher-cannot-select",
        """
        metadata: {name: gpu}
        spec: {desc: x, selector: {matchLabels: {gpu: a100}}}
        """,
    ),
    "bundle-kubeflow#1266 Better explain how to set PodDefaults (name instead of label)": (
        "label-differs-from-name",
        """
        metadata: {name: mlflow-server-minio}
        spec: {desc: x, selector: {matchLabels: {mlflow: "true"}}}
        """,
    ),
    "bundle-kubeflow#736 ends with two PodDefaults": (
        "description-shared",
        """
        metadata: {name: one}
        spec: {desc: Allow access to MLflow, selector: {matchLabels: {one: "true"}}}
        ---
        metadata: {name: two}
        spec: {desc: Allow access to MLflow, selector: {matchLabels: {two: "true"}}}
        """,
    ),
    "bundle-kubeflow#528 PodDefaults expose minio access/secret key": (
        "literal-secret",
        """
        metadata: {name: p}
        spec:
          selector: {matchLabels: {p: "true"}}
          env: [{name: AWS_SECRET_ACCESS_KEY, value: MINIO-PASS-IN-THE-CLEAR}]
        """,
    ),
    "kubeflow#6302, notebooks#108 Configure Default Service Account": (
        "service-account-swap",
        """
        metadata: {name: p}
        spec: {selector: {matchLabels: {p: "true"}}, serviceAccountName: vault}
        """,
    ),
    "kubeflow#6539 PodDefault with CSI secrets store": (
        "csi-not-read-only",
        """
        metadata: {name: p}
        spec:
          selector: {matchLabels: {p: "true"}}
          volumes: [{name: v, csi: {driver: secrets-store.csi.k8s.io}}]
          volumeMounts: [{name: v, mountPath: /secret/v}]
        """,
    ),
    "kubeflow#6019 Security flaws on shared namespaces (secrets in variables)": (
        "never-refreshes",
        """
        metadata: {name: p}
        spec: {selector: {matchLabels: {p: "true"}}, envFrom: [{secretRef: {name: s}}]}
        """,
    ),
    "kubeflow#6376 Credential Sharing Risk with Namespace Contributor (in the home directory)": (
        "mount-in-home",
        """
        metadata: {name: p}
        spec:
          selector: {matchLabels: {p: "true"}}
          volumes: [{name: v, secret: {secretName: s}}]
          volumeMounts: [{name: v, mountPath: /home/jovyan/.aws}]
        """,
    ),
    "the tutorial's secret-volume, copied for a second Secret": (
        "volume-clash",
        """
        metadata: {name: test-secret}
        spec:
          selector: {matchLabels: {test-secret: "true"}}
          desc: test-secret
          volumes: [{name: secret-volume, secret: {secretName: test-secret}}]
          volumeMounts: [{name: secret-volume, mountPath: /secret/test-secret}]
        ---
        metadata: {name: second}
        spec:
          selector: {matchLabels: {second: "true"}}
          desc: second
          volumes: [{name: secret-volume, secret: {secretName: second}}]
          volumeMounts: [{name: secret-volume, mountPath: /secret/second}]
        """,
    ),
    "the tutorial's label docker-config, used for AWS credentials too": (
        "launcher-label-shared",
        """
        metadata: {name: docker-config}
        spec: {desc: Docker, selector: {matchLabels: {docker-config: "true"}}}
        ---
        metadata: {name: aws}
        spec: {desc: AWS, selector: {matchLabels: {docker-config: "true"}}}
        """,
    ),
}

UNLABELLED = {"metadata": {"name": "alice", "labels": {"istio-injection": "enabled"}}}


def findings(text, **known):
    kind = "apiVersion: kubeflow.org/v1alpha1\nkind: PodDefault\n"
    documents = []
    for document in text.split("---\n"):
        lines = document.strip("\n").split("\n")
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        documents.append(kind + "\n".join(line[indent:] for line in lines))
    manifests = read_manifests("\n---\n".join(documents))
    kept = [poddefault.to_mapping() for poddefault in manifests.poddefaults]
    return [*manifests.findings, *lint(kept, **known)]


@pytest.mark.parametrize("thread", THREADS)
def test_the_linter_would_have_said_so(thread):
    code, text = THREADS[thread]

    said = findings(text)

    assert code in {finding.code for finding in said}
    assert "IN-THE-CLEAR" not in str(said)


@pytest.mark.parametrize(
    "thread",
    [
        "kubeflow#5207 Profile label not propagated to Namespace",
        "kubeflow#5369 Poddefault does not work in v1.1",
        "kubeflow#5534 Env variables not attached in the notebook pod",
        "kubeflow#6507 PodDefaults not working as expected in 1.5.0",
    ],
)
def test_the_linter_would_have_named_the_missing_label_of_the_namespace(thread):
    text = 'metadata: {name: p, namespace: alice}\nspec: {selector: {matchLabels: {p: "true"}}}'

    said = {f.code: f for f in findings(text, namespace=UNLABELLED)}

    assert "app.kubernetes.io/part-of=kubeflow-profile" in said["namespace-without-label"].fix
