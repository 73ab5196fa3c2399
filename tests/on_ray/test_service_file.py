"""The file for Kubernetes: Ray knows all that its part of it says, and serves by it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from on_ray.programs import LIMIT, STARTS, deploy, settings, stop, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVE = str(Path(sys.executable).with_name("serve"))
Json = dict[str, Any]


@pytest.fixture
def config() -> Json:
    """What KubeRay gives to Ray."""
    import yaml  # Ray's

    resource = yaml.safe_load((EXAMPLES / "ray" / "service.yaml").read_text())
    loaded: Json = yaml.safe_load(resource["spec"]["serveConfigV2"])
    return loaded


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray's own schemas
def test_ray_takes_all_that_the_file_says(config: Json) -> None:
    """Nothing is refused, and nothing is left out: Ray passes over a name that it does not know."""
    from ray.serve.config import AutoscalingConfig
    from ray.serve.schema import ServeDeploySchema

    taken = ServeDeploySchema.model_validate(config)
    assert taken.model_dump(mode="json", exclude_unset=True) == config
    [chat] = config["applications"]
    [deployment] = chat["deployments"]
    assert set(deployment["autoscaling_config"]) <= set(AutoscalingConfig.model_fields)
    assert deployment["name"] == "Chat"


def is_up(url: str) -> bool:
    """Whether the replicas answer, which say 422 where the question is missing."""
    try:
        return httpx.get(url, timeout=10).status_code == 422
    except httpx.TransportError:
        return False


def test_the_embedded_model_answers_by_the_file(
    config: Json, folder: str, tmp_path: Path
) -> None:
    """`serve run` brings up the replicas of the file, each with a model of its own, and an answer ends whole."""
    file, log = tmp_path / "serve.yaml", tmp_path / "log"
    file.write_text(json.dumps(config))  # which is YAML too
    known = settings(folder, MODEL="local", PYTHONPATH=str(EXAMPLES))
    environment = {**os.environ, **known}
    url = f"http://127.0.0.1:{config['http_options']['port']}/chat"
    for _ in range(STARTS):
        process = deploy([SERVE, "run", str(file)], environment, log)
        try:
            if not wait_until(lambda: is_up(url), process):
                continue
            answer = httpx.get(url, params={"q": "Say hello."}, timeout=LIMIT)
            assert answer.status_code == 200
            assert "event: done" in answer.text and '"content":' in answer.text
            return
        finally:
            stop(process)
    pytest.fail(log.read_text("utf-8")[-4000:])
