"""Secrets: what is one, and that none is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets.bench.bank import identity
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder
from ets.engines.name import EngineName
from ets.engines.server.connection import Connection
from ets.errors import EngineError, InputError
from ets.rollout.options import SearchOptions
from ets.shown.redaction import (
    names_a_secret,
    redacted,
    redacted_command,
    redacted_text,
    without_secrets,
)

SECRET_NAMES = (
    *("api_key", "apikey", "key", "apiKey", "X-API-Key", "OPENAI_API_KEY", "hf_token", "token"),
    *("auth_token", "access_tokens", "secret", "clientSecret", "password", "db_passwd", "pwd"),
    *("Authorization", "basic_auth", "user_pass", "passphrase", "credentials", "key2"),
)
PLAIN_NAMES = (
    *("max_tokens", "tokenizer", "token_ids", "keys", "max_num_batched_tokens", "eos_token"),
    *("step_token", "author", "kv_budget", "temperature", "delimiter", "monkeys", "width", ""),
)
SECRET = st.text(st.sampled_from("abcXYZ0189-_"), min_size=6, max_size=20).map("S3cr".__add__)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_told_by_its_name(name: str) -> None:
    assert names_a_secret(name)
    assert redacted({"policy_options": {name: "S3cr"}}) == {"policy_options": {name: "***"}}
    assert without_secrets({name: "S3cr", "width": 4}) == {"width": 4}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_other_names_are_left_alone(name: str) -> None:
    assert not names_a_secret(name)
    assert redacted({name: "S3cr"}) == {name: "S3cr"}


@settings(deadline=None, max_examples=60)
@given(SECRET, st.sampled_from(SECRET_NAMES))
def test_no_secret_is_left(secret: str, name: str) -> None:
    """Wherever it stands: options, nested ones, names of engines, URLs, command lines, errors."""
    engine = f"openai:m@http://user:{secret}@127.0.0.1:9/v1?{name}={secret}&timeout=5"
    options = {"headers": {name: secret}, "list": [{name: secret}, f"http://{secret}@host"]}
    value = {"policy": engine, "policy_options": options, "width": 4}
    command = [
        *("ets", "bench", "--policy", engine, f"--policy={engine}", "--prm-option"),
        *(f"{name}={secret}", f"--prm-option={name}={secret}", f"--{name}", secret, "--width", "4"),
        *("--prm-option", f"headers={json.dumps({name: secret})}"),
    ]
    sentences = (
        f"cannot reach the server at http://user:{secret}@host/v1: no",
        f"policy must be a name, got {engine!r}",
        f"--policy-option takes KEY=VALUE, got '{name}={secret} and {secret}'",
        f"policy_options must be a table, got {options!r}",
        f"said {json.dumps(options)}",
        f"Authorization: Bearer {secret}-1",
    )
    shown = [redacted(value), redacted_command(command), *map(redacted_text, sentences)]
    for text in (*shown, without_secrets(value)):
        assert secret not in str(text)
    assert all("***" in str(text) for text in shown)
    assert "***" not in str(without_secrets(value))
    assert redacted(value)["policy"] == f"openai:m@http://***@127.0.0.1:9/v1?{name}=***&timeout=5"
    assert redacted_command(command)[-4:-2] == ["--width", "4"]


@settings(deadline=None, max_examples=60)
@given(SECRET, SECRET)
def test_what_differs_in_secrets_alone_is_alike(one: str, other: str) -> None:
    def said(secret: str | None) -> object:
        user = "" if secret is None else f"user:{secret}@"
        query = "?a=1" if secret is None else f"?api_key={secret}&a=1"
        options = {"temperature": 1.0} | ({} if secret is None else {"api_key": secret})
        return {"policy": f"openai:m@http://{user}h/v1{query}", "policy_options": options}

    kept = json.loads(json.dumps(redacted(said(one))))
    assert without_secrets(kept) == without_secrets(said(other)) == without_secrets(said(None))
    assert without_secrets({"policy": f"vllm:{one}"}) != without_secrets({"policy": "vllm:m"})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http://u:p/w@h:9/v1", "http://***@h:9/v1"),
        ("http://u:p#w@h/v1", "http://***@h/v1"),
        ("http://u:p?w@h/v1?x=1", "http://***@h/v1?x=1"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("m?base=http%3A%2F%2Fu%3Ap%40h", "m?base=http://***@h"),
        ("openai:org/m@https://token@h", "openai:org/m@https://***@h"),
        ('m?headers={"Authorization":"Bearer x"}', 'm?headers={"Authorization": "***"}'),
    ],
)
def test_urls_that_are_none(name: str, shown: str) -> None:
    """A password is hidden where it is not quoted as it should be, and only there."""
    assert redacted(name) == shown


@pytest.mark.parametrize(
    "text",
    [
        "What is 2 + 2? a=1&b=2",
        "unknown key 'x'; the keys are a, b",
        "vllm:/models/a?max_num_seqs=4&dtype=bfloat16",
        "kv_budget='auto'",
        "the bearer of news",
        "mail to a@b.c",
        "",
    ],
)
def test_ordinary_text_comes_through(text: str) -> None:
    assert redacted(text) == redacted_text(text) == without_secrets(text) == text
    assert redacted_command([text]) == [text]


def test_our_own_words_for_options_stay() -> None:
    said = "policy takes options as ?KEY=VALUE&KEY=VALUE, got 'x'"
    assert redacted_text(said) == said


def test_a_grids_columns_and_plain_values_stay() -> None:
    value = {"fields": {"key": "id"}, "use_auth_token": True, "seeds": [0, 1], "api_key": None}
    assert redacted(value) == value


def test_a_run_keeps_no_secret_and_goes_on_with_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grid(secret: str | None, model: str = "m") -> Grid:
        user = "" if secret is None else f"user:{secret}@"
        options = {} if secret is None else {"api_key": secret, "headers": {"X-Key": secret}}
        policy = f"openai:{model}@http://{user}h/v1"
        search = {"policy": policy, "policy_options": options, "prm": "none"}
        return Grid(strategies=("ets",), widths=(4,), search=search)

    folder, dataset = tmp_path / "run", {"problems": 1, "sha256": "0"}
    monkeypatch.setattr(sys, "argv", ["ets", "bench", "--policy-option", "api_key=hunter2"])
    with RunFolder.open(folder, grid("hunter2").configuration(), dataset):
        kept = (folder / "run.json").read_text()
    assert "hunter2" not in kept
    assert json.loads(kept)["command"][-1] == "api_key=***"
    for secret in ("hunter2", "hunter3"):
        with RunFolder.open(folder, grid(secret).configuration(), dataset):
            pass
    with (
        pytest.raises(InputError, match="another configuration") as refused,
        RunFolder.open(folder, grid("hunter3", "other").configuration(), dataset),
    ):
        pass
    assert "hunter" not in str(refused.value)
    # One that an older version wrote.
    old = {**json.loads(kept), "configuration": grid("hunter2").configuration()}
    (folder / "run.json").write_text(json.dumps(old))
    assert "hunter2" not in str(RunFolder(folder).config)
    with RunFolder.open(folder, grid("hunter3").configuration(), dataset):
        pass
    one, other = (grid(secret).search for secret in ("hunter2", "hunter3"))
    assert identity(one["policy"], one["policy_options"]) == identity(
        other["policy"], other["policy_options"]
    )


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    connection = Connection(
        "http://user:hunter2@127.0.0.1:9/v1",
        user="policy",
        api_key="sk-OPTSECRET",
        timeout=2.0,
        max_retries=0,
        max_in_flight=1,
        patience=0.0,
    )
    with pytest.raises(EngineError, match=r"http://\*\*\*@127\.0\.0\.1:9/v1") as failed:
        connection.get("/models")
    assert "hunter2" not in str(failed.value)
    said = connection._failures._said("Incorrect API key: sk-OPTSECRET.")
    assert said == "Incorrect API key: ***."


def test_a_password_is_no_part_of_the_models_name() -> None:
    name = EngineName.parse("policy", "openai:org/m@http://user:p@w@127.0.0.1:9/v1", {})
    assert name.on_server() == ("org/m", "http://user:p@w@127.0.0.1:9/v1")
    plain = EngineName.parse("policy", "openai:m@rev@http://h/v1", {})
    assert plain.on_server() == ("m@rev", "http://h/v1")


def test_the_options_of_a_search_show_no_secret() -> None:
    told = SearchOptions(
        policy="openai:m@http://u:hunter2@h/v1?api_key=hunter2",
        policy_options={"api_key": "hunter2", "top_p": 0.9},
    )
    assert "hunter2" not in repr(told)
    assert "'top_p': 0.9" in repr(told)
    assert told.policy_options == {"api_key": "hunter2", "top_p": 0.9}
