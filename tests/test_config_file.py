"""The settings on the host: files on disk, the example, and input that no person would write."""

import json
import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import json_strict
from firmware import config
from firmware.errors import ConfigError
from tools import ROOT, ToolError, check_config

LEAST = {"bot_id": "123", "token": "t"}
ANY_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),  # fmt: skip
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = [row[0] for row in config.describe()]


def test_the_example_needs_only_what_nobody_else_can_know():
    path = os.path.join(ROOT, "config.example.json")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.key == "bot_id"
    with open(path, encoding="utf-8") as file:
        example = json.load(file)
    settings = config.parse(json.dumps({**example, **LEAST}))
    assert settings.unknown == [] and settings.warnings == []
    defaults = {row[0]: row[2] for row in config.describe()}
    assert {key: defaults[key] for key in example} == example


def test_a_file_is_read_from_disk(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('\ufeff{"bot_id": "123",\r\n "token": "t", "wifi_ssid": "Café"}', encoding="utf-8")
    assert config.load(str(path)).wifi_ssid == "Café"


def test_errors_of_the_file_name_the_file_and_errors_of_a_setting_do_not(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="config.json: not JSON: line 1, column 2"):
        config.load(str(path))
    path.write_text('{"bot_id": "x"}')
    with pytest.raises(ConfigError, match="^bot_id: "):
        config.load(str(path))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(str(tmp_path))


def test_a_huge_file_is_not_read_whole(tmp_path):
    path = tmp_path / "config.json"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse: reading it whole would end in MemoryError
    with pytest.raises(ConfigError, match="longer than 16384 bytes"):
        config.load(str(path))


def test_help_and_limits_fit_a_terminal():
    for key, _, _, allowed, help_text in config.describe():
        assert len(help_text) <= 100, key
        assert len(allowed) <= 100, key
    assert len(set(KEYS)) == len(KEYS)


@given(ANY_JSON)
def test_the_strict_reader_agrees_with_json(value):
    for ensure_ascii in (True, False):
        try:
            text = json.dumps(value, ensure_ascii=ensure_ascii).encode()
        except UnicodeEncodeError:
            continue
        try:
            assert json_strict.loads(text) == value
        except json_strict.JSONError as error:
            assert "control character" in error.text or "more than 24" in error.text or "surrogate" in error.text


@given(st.text(alphabet='{}[]",:\\ \n-+.0123456789eEtrufalsn', max_size=40))
def test_what_the_strict_reader_takes_json_takes_too(text):
    try:
        value = json_strict.loads(text.encode())
    except json_strict.JSONError as error:
        assert error.line >= 1 and error.column >= 1
        return
    assert json.loads(text) == value


@given(st.binary(max_size=60))
def test_arbitrary_bytes_end_in_one_error_unless_they_are_settings(data):
    try:
        settings = config.parse(data)
    except ConfigError as error:
        assert error.text
        return
    given_values = json.loads(data)  # chance does come upon the least that is enough
    assert (settings.bot_id, settings.token) == (given_values["bot_id"], given_values["token"])


@given(st.sampled_from(KEYS), ANY_JSON)
def test_a_setting_takes_its_value_or_says_why_not(key, value):
    try:
        text = json.dumps({**LEAST, key: value}).encode()
        settings = config.parse(text)
    except ConfigError as error:
        assert error.text
        return
    assert type(getattr(settings, key)) is type(value) and settings.ring_needed_bytes() > 0


@given(st.sampled_from(KEYS), st.integers(0, 30), st.sampled_from(string.ascii_lowercase))
@settings(deadline=None)  # a busy machine is no error
def test_one_typing_error_is_recognised(key, at, letter):
    at %= len(key)
    for wrong in (key[:at] + key[at + 1 :], key[:at] + letter + key[at:], key[:at] + letter + key[at + 1 :]):
        if wrong not in KEYS and len(key) >= 6:
            assert config.suggestion(wrong), wrong


@given(
    st.integers(10, 1000), st.integers(1, 300), st.integers(1, 5), st.integers(5, 120),
    st.sampled_from(["pcm", "g711u"]),
)  # fmt: skip
def test_a_paced_answer_never_fills_the_computed_ring(frame_ms, frames, period_s, answer_s, codec):
    """Play an answer of answer_max_s against bursts at the start of each window, the first one late by a second."""
    wanted = {
        "pacing_frame_ms": frame_ms, "pacing_frames": frames, "pacing_period_s": period_s, "answer_max_s": answer_s,
        "downlink_codec": codec, "message_max_bytes": 1_000_000,
    }  # fmt: skip
    try:
        settings = config.parse(json.dumps({**LEAST, **wanted}))
    except ConfigError:
        return
    capacity_ms = settings.ring_needed_bytes() // (settings.downlink_bytes_per_s // 1000)
    left_ms, used_ms = 1000 * answer_s, 0
    while left_ms > 0:
        burst_ms = min(left_ms, frames * frame_ms)
        used_ms += burst_ms
        left_ms -= burst_ms
        assert used_ms <= capacity_ms
        used_ms = max(0, used_ms - 1000 * period_s)


@pytest.mark.parametrize("text", (None, "{", "[1]", " " * 20_000))
def test_the_check_names_a_file_that_is_none_once(tmp_path, text):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ToolError) as caught:
        check_config.load(str(path))
    assert str(caught.value).count(str(path)) == 1
