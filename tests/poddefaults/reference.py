"""The webhook's table (who wins, what conflicts), written straight down, and what to try it on.

Nothing here is shared with the package: the table says for each field where it goes, by which key
entries are compared, and what happens to a different one.
"""

from __future__ import annotations

import copy
import itertools

from hypothesis import strategies as st

PROFILE = {
    "metadata": {"name": "alice", "labels": {"app.kubernetes.io/part-of": "kubeflow-profile"}}
}
POINTERS = {"defaultMode", "mode", "optional", "tolerationSeconds", "emptyDir", "secret"}


def normal(value):
    """Drop what Go cannot tell from absence: zero values of fields that are no pointers."""
    if isinstance(value, dict):
        kept = {}
        for key, part in value.items():
            part = normal(part)
            if part is None or (key not in POINTERS and part in ("", False, 0)):
                continue
            kept[key] = part
        return kept
    if isinstance(value, list):
        return [normal(part) for part in value]
    return value


def written(value):
    """Drop what is not written either: empty lists, and the empty resources of a container."""
    if isinstance(value, dict):
        return {
            key: written(part)
            for key, part in normal(value).items()
            if part != [] and (key, part) != ("resources", {})
        }
    if isinstance(value, list):
        return [written(part) for part in value]
    return value


def matches(selector, labels):
    """Say whether a selector chooses these labels; ValueError where it cannot be read."""
    wanted = [(key, "In", [value]) for key, value in selector.get("matchLabels", {}).items()]
    wanted += [
        (expression["key"], expression["operator"], expression.get("values") or [])
        for expression in selector.get("matchExpressions", [])
    ]
    result = True
    for key, operator, values in wanted:
        if operator in ("In", "NotIn"):
            if not values or any(value.startswith("-") for value in values):
                raise ValueError(operator)
            inside = labels.get(key) in values
            result &= inside if operator == "In" else not inside
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                raise ValueError(operator)
            result &= (key in labels) == (operator == "Exists")
        else:
            raise ValueError(operator)
    return result


def admission(pod, poddefaults):
    """Give outcome, conflicts, names and the resulting pod, by the table."""
    labels = pod["metadata"].get("labels", {})
    if not all(readable(poddefault) for poddefault in poddefaults):
        return "denied", set(), [], pod
    chosen = [
        poddefault
        for poddefault in sorted(poddefaults, key=lambda p: p["metadata"]["name"])
        if matches(poddefault["spec"]["selector"], labels)
    ]
    if not chosen:
        return "unchanged", set(), [], pod

    conflicts, result = set(), copy.deepcopy(pod)
    spec, changed = result["spec"], 0

    def merge(there, field, key, name, other_keys=()):
        there = list(there)
        known = {normal(entry).get(key, ""): normal(entry) for entry in there}
        seconds = {k: {normal(e).get(k, ""): normal(e) for e in there} for k in other_keys}
        for poddefault in chosen:
            for entry in poddefault["spec"].get(field, []):
                entry = normal(entry)
                if entry.get(key, "") not in known:
                    known[entry.get(key, "")] = entry
                    there.append(entry)
                elif known[entry.get(key, "")] != entry:
                    conflicts.add((name, poddefault["metadata"]["name"], entry.get(key, "")))
                for k, by in seconds.items():
                    if by.setdefault(entry.get(k, ""), entry) != entry:
                        conflicts.add((name, poddefault["metadata"]["name"], entry.get(k, "")))
        return there

    spec["volumes"] = merge(spec.get("volumes", []), "volumes", "name", "volumes")
    spec["tolerations"] = merge(spec.get("tolerations", []), "tolerations", "key", "tolerations")
    spec["imagePullSecrets"] = merge(
        spec.get("imagePullSecrets", []), "imagePullSecrets", "name", "imagePullSecrets"
    )
    spec["initContainers"] = merge(
        spec.get("initContainers", []), "initContainers", "name", "containers"
    )
    for container in spec["containers"]:
        before = written(container)
        container["env"] = merge(container.get("env", []), "env", "name", "env")
        container["volumeMounts"] = merge(
            container.get("volumeMounts", []), "volumeMounts", "name", "volumeMounts", ["mountPath"]
        )
        container["envFrom"] = container.get("envFrom", []) + [
            source for poddefault in chosen for source in poddefault["spec"].get("envFrom", [])
        ]
        for field in ("command", "args"):
            for poddefault in chosen:
                given = poddefault["spec"].get(field)
                if (
                    container["name"] != "istio-proxy"
                    and field not in container
                    and given is not None
                ):
                    container[field] = given
        changed += written(container) != before
    count = len(spec["containers"])
    spec["containers"] = merge(spec["containers"], "sidecars", "name", "containers")
    for field in ("annotations", "labels"):
        there = result["metadata"].setdefault(field, {})
        for poddefault in chosen:
            for key, value in poddefault["spec"].get(field, {}).items():
                if there.setdefault(key, value) != value:
                    conflicts.add(("metadata", None, key))
    for poddefault in chosen:
        if "automountServiceAccountToken" in poddefault["spec"]:
            spec["automountServiceAccountToken"] = poddefault["spec"][
                "automountServiceAccountToken"
            ]
        if poddefault["spec"].get("serviceAccountName"):
            spec["serviceAccountName"] = poddefault["spec"]["serviceAccountName"]
        about = poddefault["metadata"]
        stamp = f"poddefault.admission.kubeflow.org/poddefault-{about['name']}"
        result["metadata"]["annotations"][stamp] = about["resourceVersion"]
    if conflicts:
        return "denied", conflicts, [], pod
    if len(spec["containers"]) > count and changed > 1:
        return "broken patch", set(), [], pod
    return "mutated", set(), [p["metadata"]["name"] for p in chosen], result


def readable(poddefault):
    """Say whether the selector of a PodDefault can be read."""
    try:
        matches(poddefault["spec"]["selector"], {})
    except ValueError:
        return False
    return True


def choices(poddefaults):
    """Give every choice of labels that selectors can tell apart, and no other."""
    values = {}
    for poddefault in poddefaults:
        selector = poddefault["spec"]["selector"]
        for key, value in selector.get("matchLabels", {}).items():
            values.setdefault(key, set()).add(value)
        for expression in selector.get("matchExpressions", []):
            values.setdefault(expression["key"], set()).update(expression.get("values") or [])
    per_key = [
        [None, (key, "none-of-them"), *((key, value) for value in sorted(some) if value[:1] != "-")]
        for key, some in values.items()
    ]
    for combination in itertools.product(*per_key):
        yield dict(pair for pair in combination if pair)


def bare(labels):
    """Give a pod that brings nothing but its labels."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nb-0", "namespace": "alice", "labels": labels},
        "spec": {"containers": [{"name": "nb", "image": "img", "resources": {}}]},
    }


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["true", "x", ""])


def listed(elements, most=2):
    return st.lists(elements, max_size=most)


SECRET = st.fixed_dictionaries(
    {"secretName": st.sampled_from(["s1", "s2"])},
    optional={
        "defaultMode": st.sampled_from([0, 420]),
        "optional": st.booleans(),
        "items": st.sampled_from([[], [{"key": "k", "path": "p"}]]),
    },
)
VOLUMES = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(["v1", "v2"]), "secret": SECRET}),
    st.fixed_dictionaries({"name": st.just("v3"), "emptyDir": st.just({})}),
)
MOUNTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["v1", "v2", "v3"]), "mountPath": st.sampled_from(["/m/1", "/m/2"])},
    optional={"readOnly": st.booleans(), "subPath": st.sampled_from(["", "k"])},
)
ENV = st.one_of(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["E1", "E2"])}, optional={"value": st.sampled_from(["", "1", "2"])}
    ),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["E1", "E3"]),
            "valueFrom": st.fixed_dictionaries(
                {
                    "secretKeyRef": st.fixed_dictionaries(
                        {"name": st.just("s1"), "key": st.just("k")},
                        optional={"optional": st.booleans()},
                    )
                }
            ),
        }
    ),
)
TOLERATIONS = st.fixed_dictionaries(
    {"key": st.sampled_from(["t1", "t2"]), "operator": st.just("Exists")},
    optional={"effect": st.sampled_from(["", "NoSchedule", "NoExecute"])},
)
CONTAINERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["c1", "c2"]), "image": st.sampled_from(["x", "y"])}
)
SELECTORS = st.one_of(
    st.fixed_dictionaries({"matchLabels": st.dictionaries(KEYS, VALUES, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {
            "matchExpressions": listed(
                st.one_of(
                    st.fixed_dictionaries(
                        {
                            "key": KEYS,
                            "operator": st.sampled_from(["In", "NotIn"]),
                            "values": st.lists(VALUES, min_size=1, max_size=2),
                        }
                    ),
                    st.fixed_dictionaries(
                        {"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}
                    ),
                )
            )
        },
        optional={"matchLabels": st.dictionaries(KEYS, VALUES, max_size=1)},
    ),
)
UNREADABLE = st.sampled_from(
    [
        {"matchExpressions": [{"key": "a", "operator": "Is", "values": ["x"]}]},
        {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]},
        {"matchLabels": {"a": "-x"}},
    ]
)
FIELDS = {
    "env": listed(ENV),
    "volumes": listed(VOLUMES),
    "volumeMounts": listed(MOUNTS),
    "tolerations": listed(TOLERATIONS, 1),
    "imagePullSecrets": listed(st.sampled_from([{"name": "q"}, {"name": "r"}])),
    "initContainers": listed(CONTAINERS, 1),
    "annotations": st.dictionaries(st.sampled_from(["y", "z"]), st.sampled_from("12"), max_size=1),
    "command": st.sampled_from([[], ["c1"], ["c2", "x"]]),
    "args": st.sampled_from([[], ["a1"]]),
    "serviceAccountName": st.sampled_from(["", "sa1", "sa2"]),
    "automountServiceAccountToken": st.booleans(),
    "desc": st.just("about"),
}
CASCADING = {
    "envFrom": listed(st.just({"secretRef": {"name": "s1"}}), 1),
    "sidecars": listed(
        st.fixed_dictionaries({"name": st.sampled_from(["sc1", "sc2"]), "image": st.just("x")}), 1
    ),
    "labels": st.dictionaries(st.sampled_from(["b", "l"]), VALUES, max_size=1),
}


@st.composite
def namespaces(draw, *, most=4, readable_only=False, fields=None):
    """Give the PodDefaults of a namespace."""
    names = draw(st.permutations(["alpha", "pd-a", "pd-b", "z.z"]))[: draw(st.integers(0, most))]
    selectors = SELECTORS if readable_only else st.one_of(*[SELECTORS] * 12, UNREADABLE)
    return [
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": {"name": name, "namespace": "alice", "resourceVersion": str(number)},
            "spec": draw(
                st.fixed_dictionaries(
                    {"selector": selectors},
                    optional={**FIELDS, **CASCADING} if fields is None else fields,
                )
            ),
        }
        for number, name in enumerate(names)
    ]


@st.composite
def pods(draw):
    """Give a pod with things of its own."""
    pod = bare(draw(st.dictionaries(KEYS, VALUES, max_size=3)))
    pod["spec"]["containers"] = [
        {
            "name": name,
            "image": "img",
            "resources": {},
            **draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "env": st.lists(ENV, min_size=1, max_size=1),
                        "volumeMounts": st.lists(MOUNTS, min_size=1, max_size=1),
                        "command": st.just(["own"]),
                    },
                )
            ),
        }
        for name in ["nb", "other", "istio-proxy"][: draw(st.integers(1, 3))]
    ]
    if draw(st.booleans()):
        pod["spec"]["volumes"] = [
            {"name": "v1", "secret": {"secretName": "s1", "defaultMode": 420}}
        ]
    return pod
