"""The manifest of docs/kuberay.md: YAML, one image and one Ray, a command that `ets` takes."""

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


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    job = yaml.safe_load(block("yaml"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec: dict[str, Any] = job["spec"]
    return spec


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_all_pods_have_one_image_and_the_ray_that_is_tested(spec: dict[str, Any]) -> None:
    images = {container["image"] for pod in pods(spec) for container in pod["containers"]}
    assert len(images) == 1
    version = spec["rayClusterSpec"]["rayVersion"]
    assert version.startswith(f"{TESTED['ray']}.")
    assert f"rayproject/ray:{version}-" in block("dockerfile")


def test_what_is_mounted_is_there(spec: dict[str, Any]) -> None:
    for pod in pods(spec):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounted) == volumes
            for variable in container.get("env", ()):
                assert variable["value"] in mounted.values()


def test_the_job_is_a_command_that_the_cluster_has_room_for(spec: dict[str, Any]) -> None:
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
    gpus = sum(
        group["replicas"] * int(container["resources"]["limits"]["nvidia.com/gpu"])
        for group in spec["rayClusterSpec"]["workerGroupSpecs"]
        for container in group["template"]["spec"]["containers"]
    )
    assert fleet.count * fleet.num_gpus == gpus
    (head,) = pods(spec)[0]["containers"]
    runs = [mount["mountPath"] for mount in head["volumeMounts"]]
    assert arguments[1].startswith(f"{runs[0]}/")


def test_the_page_names_options_that_are_there() -> None:
    for option in re.findall(r"--worker-option (\w+)=", TEXT):
        assert option in RayWorkers.__dataclass_fields__
