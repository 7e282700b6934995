"""The manifests of docs/kuberay.md: YAML, one image and one Ray, what `ets` takes."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from ets.extras import TESTED
from ets.ray import RayWorkers
from test_docs import ROOT, check_arguments

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (it comes with the site)")
TEXT = (ROOT / "docs" / "kuberay.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest["spec"] for manifest in map(yaml.safe_load, blocks("yaml"))
}
each = pytest.mark.parametrize("spec", MANIFESTS.values(), ids=list(MANIFESTS))


def cluster_of(spec: dict[str, Any]) -> dict[str, Any]:
    cluster: dict[str, Any] = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    return cluster


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(spec)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def gpus(spec: dict[str, Any], replicas: str = "replicas") -> int:
    return sum(
        group[replicas] * int(container["resources"]["limits"]["nvidia.com/gpu"])
        for group in cluster_of(spec)["workerGroupSpecs"]
        for container in group["template"]["spec"]["containers"]
    )


@each
def test_all_pods_have_one_image_and_the_ray_that_is_tested(spec: dict[str, Any]) -> None:
    images = {container["image"] for pod in pods(spec) for container in pod["containers"]}
    assert len(images) == 1
    version = cluster_of(spec)["rayVersion"]
    assert version.startswith(f"{TESTED['ray']}.")
    assert f"rayproject/ray:{version}-" in blocks("dockerfile")[0]


@each
def test_what_is_mounted_is_there(spec: dict[str, Any]) -> None:
    for pod in pods(spec):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounted) == volumes
            for variable in container.get("env", ()):
                assert variable["value"] in mounted.values()


def test_the_job_is_a_command_that_the_cluster_has_room_for() -> None:
    spec = MANIFESTS["RayJob"]
    program, *arguments = shlex.split(spec["entrypoint"])
    assert program == "ets"
    check_arguments(arguments)
    options = dict(
        arguments[at + 1].split("=")
        for at, word in enumerate(arguments)
        if word == "--worker-option"
    )
    workers = int(arguments[arguments.index("--workers") + 1])
    fleet = RayWorkers(workers, num_gpus=float(options["num_gpus"]))
    assert fleet.count * fleet.num_gpus == gpus(spec)
    (head,) = pods(spec)[0]["containers"]
    runs = [mount["mountPath"] for mount in head["volumeMounts"]]
    assert arguments[1].startswith(f"{runs[0]}/")


def test_the_service_is_an_application_that_the_cluster_has_room_for() -> None:
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    pytest.importorskip("grpc_reflection", reason="Ray Serve is not installed (`ray-serve`)")
    from ets.serve.replicas import Replicas, application

    spec = MANIFESTS["RayService"]
    (app,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    module, _, name = app["import_path"].partition(":")
    assert (module, name) == (application.__module__, application.__name__)
    asked = Replicas.model_validate(app["args"])
    assert asked.max_replicas is not None
    assert asked.min_replicas * asked.num_gpus <= gpus(spec)
    assert asked.max_replicas * asked.num_gpus == gpus(spec, "maxReplicas")
    for pod in pods(spec):
        mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert asked.config.rpartition("/")[0] in mounted


def test_the_page_names_options_that_are_there() -> None:
    for option in re.findall(r"--worker-option (\w+)=", TEXT):
        assert option in RayWorkers.__dataclass_fields__
