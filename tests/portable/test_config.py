"""The settings: defaults, limits, and errors that name the key, the value and what is allowed."""

import json
import os
import sys

from check import raises

from firmware import config
from firmware.errors import ConfigError

SECRET = "pat_Sesame0123456789"
LEAST = '"bot_id": "123", "token": "%s"' % SECRET


def parse(more=""):
    return config.parse("{%s%s}" % (LEAST, ", " + more if more else ""))


def refuse(more, key, *words):
    """The file with `more` is refused because of `key`, the error holds all `words` and never the secret."""
    with raises(ConfigError) as caught:
        parse(more)
    error = caught.error
    assert error.key == key, error
    assert error.text.startswith(key + ": ") and error.kind == "config"
    for word in words:
        assert word in error.text, (word, error.text)
    assert SECRET not in error.text


# Defaults


def test_the_least_file_gives_all_defaults():
    settings = parse()
    rows = config.describe()
    assert len(rows) > 60
    for key, kind, default, allowed, help_text in rows:
        if key not in ("bot_id", "token", "downlink_hz"):
            assert getattr(settings, key) == default, key
        assert allowed and help_text and help_text[-1] != ".", key
    assert settings.bot_id == "123" and settings.token == SECRET
    assert settings.unknown == [] and settings.warnings == []


def test_every_default_is_allowed_when_it_is_written_down():
    written = {row[0]: row[2] for row in config.describe()}
    written["bot_id"] = "123"
    written["token"] = SECRET
    settings = config.parse(json.dumps(written))
    assert settings.unknown == []
    for key in written:
        assert getattr(settings, key) == (8000 if key == "downlink_hz" else written[key]), key


def test_two_files_share_no_default_container():
    first = parse()
    first.asr_hot_words.append("finch")
    first.custom_variables["a"] = "b"
    assert parse().asr_hot_words == [] and parse().custom_variables == {}


def test_the_names_that_the_parts_rely_on():
    settings = parse()
    for name in (
        "board cloud cloud_url bot_id token user_id device_id conversation_id voice_id speech_rate loudness_rate "
        "prologue prologue_text auto_save_history custom_variables parameters asr_hot_words asr_language mode "
        "vad_prefix_ms vad_silence_ms interrupt_keywords interrupt_keyword_mode uplink_codec downlink_codec "
        "downlink_hz pacing_frame_ms pacing_frames pacing_period_s volume_percent prebuffer_ms answer_max_s ring_bytes "
        "uplink_queue_ms tap_ms tail_ms preroll_ms listen_max_ms press_wait_ms answer_wait_ms stall_ms free_idle_ms "
        "multi_tap_ms keep_link_ms connect_timeout_ms idle_timeout_ms close_timeout_ms ping_ms ring_full_wait_ms "
        "retry_min_ms retry_max_ms tls_verify tls_roots ntp_host clock_timeout_ms wifi_ssid wifi_password "
        "wifi_timeout_ms log_transcripts message_max_bytes rx_buffer_bytes allow_plain_ws"
    ).split():
        assert hasattr(settings, name), name


def test_the_judge_does_not_stay_in_memory():
    import firmware

    parse()
    with raises(ConfigError):
        config.parse("{}")
    config.describe()
    config.suggestion("volume")
    for name in ("config_rules", "config_table"):
        assert "firmware." + name not in sys.modules and not hasattr(firmware, name)
    assert "json_strict" not in sys.modules


# One setting


def test_a_required_setting_that_is_missing_or_empty():
    for text in ("{}", '{"token": "t"}', '{"bot_id": "", "token": "t"}'):
        with raises(ConfigError, "bot_id: is missing (the agent") as caught:
            config.parse(text)
        assert caught.error.key == "bot_id"
    with raises(ConfigError, "token: is missing (access token"):
        config.parse('{"bot_id": "1"}')


def test_a_missing_setting_points_at_its_misspelling():
    with raises(ConfigError, 'the file has "bot-id", which is no setting'):
        config.parse('{"bot-id": "1", "token": "t"}')


def test_a_wrong_type_names_key_value_and_rule():
    refuse('"volume_percent": "70"', "volume_percent", '"70"', "a whole number from 0 to 150")
    refuse('"volume_percent": 70.0', "volume_percent", "70.0", "whole number")
    refuse('"volume_percent": true', "volume_percent", "true", "whole number")
    refuse('"volume_percent": null', "volume_percent", "null", "whole number")
    refuse('"tls_verify": 1', "tls_verify", "1", "true or false")
    refuse('"tls_verify": "false"', "tls_verify", '"false"', "true or false")
    refuse('"mode": 3', "mode", "3", '"ptt_hold" or "ptt_toggle" or "free"')
    refuse('"device_id": 123', "device_id", "123", "text of up to 19 bytes, digits only")
    refuse('"asr_hot_words": "finch"', "asr_hot_words", '"finch"', "a list of at most 100 texts")
    refuse('"custom_variables": ["a"]', "custom_variables", '["a"]', "an object")
    refuse('"custom_variables": {"a": 1}', "custom_variables", "an object")
    refuse('"parameters": []', "parameters", "[]", "a JSON object")


def test_a_number_for_the_agent_is_told_to_be_text():
    with raises(ConfigError, "bot_id: 7500000000000000000 is not allowed: write text"):
        config.parse('{"bot_id": 7500000000000000000, "token": "t"}')


def test_limits_are_inclusive():
    assert parse('"volume_percent": 0').volume_percent == 0
    assert parse('"volume_percent": 150').volume_percent == 150
    refuse('"volume_percent": 151', "volume_percent", "151")
    refuse('"volume_percent": -1', "volume_percent", "-1")
    refuse('"speech_rate": 101', "speech_rate", "from -50 to 100")
    refuse('"ping_ms": 20001', "ping_ms", "from 15000 to 20000")


def test_a_special_value_outside_the_range():
    assert parse('"keep_link_ms": 0').keep_link_ms == 0
    assert parse('"keep_link_ms": 1000').keep_link_ms == 1000
    refuse('"keep_link_ms": 5', "keep_link_ms", "0, or a whole number from 1000 to 86400000")


def test_a_long_value_is_cut_in_the_error():
    refuse('"mode": "%s"' % ("x" * 500), "mode", "...")
    with raises(ConfigError) as caught:
        parse('"mode": "%s"' % ("x" * 500))
    assert len(caught.error.text) < 200


def test_text_is_measured_in_bytes():
    assert parse('"wifi_ssid": "%s"' % ("é" * 16)).wifi_ssid == "é" * 16
    refuse('"wifi_ssid": "%s"' % ("é" * 17), "wifi_ssid", "up to 32 bytes")


def test_text_that_would_break_a_header_or_a_log_line():
    refuse('"user_id": "a\\r\\nX-Evil: 1"', "user_id")
    refuse('"voice_id": "a b"', "voice_id", "without spaces")
    refuse('"board": "../secret"', "board", "lower-case letters, digits and _")
    with raises(ConfigError, "token: the text of"):
        config.parse('{"bot_id": "1", "token": "a\\r\\nX-Evil: 1"}')


def test_device_id_is_an_int64():
    assert parse('"device_id": "9223372036854775807"').device_id == "9223372036854775807"
    refuse('"device_id": "9223372036854775808"', "device_id", "at most 9223372036854775807")


def test_interrupt_keywords():
    assert parse('"mode": "free", "interrupt_keywords": ["小鸟小鸟", "pipit stop"]').warnings == []
    refuse('"interrupt_keywords": ["pip"]', "interrupt_keywords", "6 to 24 bytes")
    refuse('"interrupt_keywords": ["小鸟，小鸟"]', "interrupt_keywords", "no punctuation")
    refuse('"interrupt_keywords": ["stop now!"]', "interrupt_keywords", "no punctuation")
    refuse('"interrupt_keywords": [%s]' % ", ".join(['"stop now"'] * 6), "interrupt_keywords", "at most 5")
    assert "no effect in mode ptt_hold" in parse('"interrupt_keywords": ["stop now"]').warnings[0]


def test_custom_variable_names():
    assert parse('"custom_variables": {"user_name": "Ann"}').custom_variables == {"user_name": "Ann"}
    refuse('"custom_variables": {"user1": "Ann"}', "custom_variables", "letters and _")


# Unknown names


def test_unknown_names_are_reported_and_ignored():
    settings = parse('"volum_percent": 3, "x": 1, "Wifi-SSID": "home"')
    assert sorted(settings.unknown) == ["Wifi-SSID", "volum_percent", "x"]
    assert settings.volume_percent == 70
    text = "\n".join(settings.warnings)
    assert '"volum_percent": no such setting, ignored; did you mean volume_percent?' in text
    assert "did you mean wifi_ssid?" in text
    assert '"x": no such setting, ignored' in text


def test_suggestions():
    for wrong, right in (
        ("volume", ""), ("volume_precent", "volume_percent"), ("wifi_pasword", "wifi_password"), ("botid", "bot_id"),
        ("BOT_ID", "bot_id"), ("tokens", "token"), ("ring_byte", "ring_bytes"), ("", ""), ("zzzzzzzzzz", ""),
    ):  # fmt: skip
        assert config.suggestion(wrong) == right, (wrong, config.suggestion(wrong))


# Secrets


def test_secrets_are_never_shown():
    settings = parse('"wifi_password": "open sesame"')
    shown = str(settings.redacted())
    assert SECRET not in shown and "sesame" not in shown
    assert settings.redacted()["token"] == "(set, not shown)"
    assert parse().redacted()["wifi_password"] == ""
    refuse('"wifi_password": "sesame"', "wifi_password", "8 to 64 bytes", "open network")
    with raises(ConfigError) as caught:
        parse('"wifi_password": "sesame"')
    assert "sesame" not in caught.error.text
    with raises(ConfigError) as caught:
        config.parse('{"bot_id": "1", "token": ["%s"]}' % SECRET)
    assert caught.error.key == "token" and SECRET not in caught.error.text


def test_redacted_holds_everything_that_is_in_force():
    shown = parse('"volume_percent": 30, "cloud_url": "wss://h/p?key=hidden"').redacted()
    assert sorted(shown) == sorted([row[0] for row in config.describe()])
    assert shown["volume_percent"] == 30 and shown["downlink_hz"] == 8000
    assert shown["cloud_url"] == "wss://h/p?(not shown)"


def test_bearer_is_taken_off_the_token_aloud():
    for written in ("Bearer abc", "bearer  abc ", " abc"):
        settings = config.parse('{"bot_id": "1", "token": "%s"}' % written)
        assert settings.token == "abc", written
        assert ("Bearer" in "".join(settings.warnings)) == ("earer" in written)


# The file


def test_what_is_no_settings_file():
    for text, words in (
        ("", "the file is empty"),
        ("[]", "one JSON object"),
        ("7", "one JSON object"),
        ('{"bot_id": "1",\n "token" "x"}', "not JSON: line 2, column 10: expected a colon"),
        ('{"bot_id": "1", "token": "x"', "written completely"),
        ('{"bot_id": "1", "bot_id": "2"}', "twice"),
        (b'{"bot_id": "\xff"}', "not UTF-8"),
    ):
        with raises(ConfigError, words) as caught:
            config.parse(text)
        assert caught.error.key == ""


def test_a_file_that_is_not_there_or_no_settings_at_all():
    with raises(ConfigError, "no_such_folder/config.json is not there") as caught:
        config.load("no_such_folder/config.json")
    assert caught.error.key == "" and "config.example.json" in caught.error.text


def test_a_file_too_long_for_settings():
    path = "too_long_for_settings.tmp"
    with open(path, "wb") as file:
        file.write(b" " * 16385)
    try:
        with raises(ConfigError, "longer than 16384 bytes"):
            config.load(path)
    finally:
        os.remove(path)


# Settings that must suit each other


def test_g711_is_always_8_khz():
    assert parse().downlink_hz == 8000 and parse().downlink_bytes_per_s == 8000
    settings = parse('"downlink_hz": 24000')
    assert settings.downlink_hz == 8000 and "24000 has no effect" in settings.warnings[0]
    assert parse('"downlink_hz": 8000').warnings == []
    settings = parse('"downlink_hz": 24000, "downlink_codec": "pcm"')
    assert settings.downlink_hz == 24000 and settings.downlink_bytes_per_s == 48000 and settings.warnings == []
    assert parse('"downlink_codec": "pcm"').downlink_hz == 16000
    refuse('"downlink_hz": 11025', "downlink_hz", "11025", "8000, 16000 or 24000")


def test_pacing_may_not_be_slower_than_speech():
    refuse('"pacing_frames": 16', "pacing_frames", "960 ms of sound per 1000 ms", "at least 17, or 0")
    assert parse('"pacing_frames": 20, "pacing_frame_ms": 50').pacing_frames == 20
    refuse('"pacing_frames": 39, "pacing_frame_ms": 50, "pacing_period_s": 2', "pacing_frames", "at least 40")


def test_the_ring_of_a_paced_answer():
    # 17 x 60 ms per 1 s: 1.2 s of surplus after 60 s, one window of 1.02 s, 1 s of reserve; 8 bytes a ms
    assert parse().ring_needed_bytes() == (1200 + 1020 + 1000) * 8
    # 22 x 50 ms of 16 kHz PCM: 6 s of surplus are 192 kB
    pcm = parse('"downlink_codec": "pcm", "pacing_frames": 22, "pacing_frame_ms": 50')
    assert pcm.ring_needed_bytes() == 192000 + (1100 + 1000) * 32
    # never more than the whole answer
    assert parse('"pacing_frames": 1000, "answer_max_s": 5').ring_needed_bytes() == 5 * 8000


def test_an_unpaced_answer_must_fit_as_a_whole():
    assert parse('"pacing_frames": 0').ring_needed_bytes() == 60 * 8000
    refuse('"pacing_frames": 0, "ring_bytes": 479999', "ring_bytes", "at least 480000")
    assert parse('"pacing_frames": 0, "ring_bytes": 480000').ring_bytes == 480000
    refuse('"pacing_frames": 0, "downlink_codec": "pcm", "answer_max_s": 600', "answer_max_s", "19200000")


def test_a_ring_that_the_longest_answer_would_fill():
    refuse('"ring_bytes": 25759', "ring_bytes", "25759", "60 s", "at least 25760, or 0")
    assert parse('"ring_bytes": 25760').ring_bytes == 25760


def test_one_piece_of_an_answer_fits_a_message():
    refuse(
        '"downlink_codec": "pcm", "downlink_hz": 24000, "pacing_frame_ms": 1000, "pacing_frames": 2, '
        '"message_max_bytes": 65000', "message_max_bytes", "at least 65024",
    )  # fmt: skip


def test_the_buffer_for_reading_holds_four_pieces_of_an_answer():
    # 60 ms of G.711 are 480 bytes and 640 letters, of PCM at 24 kHz 2880 and 3840; 256 of JSON around them
    assert parse().rx_needed_bytes() == 4096  # the least
    assert parse('"pacing_frame_ms": 100, "pacing_frames": 11').rx_needed_bytes() == 4 * (1068 + 256)
    assert parse('"downlink_codec": "pcm", "downlink_hz": 16000').rx_needed_bytes() == 4 * (2560 + 256)
    assert parse('"downlink_codec": "pcm", "downlink_hz": 24000').rx_needed_bytes() == 4 * (3840 + 256)
    assert parse('"pacing_frame_ms": 500, "pacing_frames": 3').rx_needed_bytes() == 16384  # the most
    assert parse('"pacing_frames": 0').rx_needed_bytes() == 16384  # nobody knows


def test_the_queue_holds_what_a_press_without_a_connection_records():
    assert parse().queue_needed_ms() == 5000 + 300
    assert parse('"press_wait_ms": 6000').uplink_queue_ms == 0


def test_times_that_must_suit_each_other():
    refuse('"press_wait_ms": 6000, "uplink_queue_ms": 6299', "uplink_queue_ms", "at least 6300, or 0")
    refuse('"retry_min_ms": 5000, "retry_max_ms": 4000', "retry_max_ms", "at least 5000")
    refuse('"stall_ms": 3000, "pacing_period_s": 2, "pacing_frames": 40', "stall_ms", "4000")
    assert "quiet connection" in parse('"idle_timeout_ms": 9000').warnings[0]
    assert "prologue is false" in parse('"prologue_text": "hello"').warnings[0]


# The address


def test_plain_websocket_only_to_this_machine():
    for url in ("ws://localhost:1/x", "ws://127.0.0.1:8765/v1/chat", "ws://127.8.9.1/x", "ws://[::1]:80/x"):
        assert parse('"cloud_url": "%s"' % url).warnings == [], url
    for url in ("ws://example.org/x", "ws://127.0.0.1.example.org/x", "ws://192.168.1.5/x", "ws://[::2]/x"):
        refuse('"cloud_url": "%s"' % url, "cloud_url", "in clear", "allow_plain_ws")
        warnings = parse('"allow_plain_ws": true, "cloud_url": "%s"' % url).warnings
        assert len(warnings) == 1 and "in clear" in warnings[0]


def test_unverified_tls_is_warned_of():
    assert parse('"tls_verify": false').warnings == [
        "tls_verify: is off, anybody on the way to ws.coze.cn can listen and speak"
    ]


def test_addresses_that_are_none():
    for url in ("https://h/x", "wss:/h/x", "h/x", "wss://", "wss:///x", "wss://h/x#y", "wss://h?x=1", "wss://[::1/x"):
        refuse('"cloud_url": "%s"' % url, "cloud_url")
    for port in ("0", "65536", "x", "-1", ""):
        refuse('"cloud_url": "wss://h:%s/x"' % port, "cloud_url", "port")
    assert parse('"cloud_url": "wss://h:65535/x"').cloud_url == "wss://h:65535/x"
    assert parse('"cloud_url": "wss://h"').cloud_url == "wss://h"


def test_the_address_holds_no_secret_and_nothing_twice():
    refuse('"cloud_url": "wss://h/x?authorization=Bearer%%20%s"' % SECRET, "cloud_url", "belongs into token")
    refuse('"cloud_url": "wss://ann:%s@h/x"' % SECRET, "cloud_url", "leave user and password out")
    refuse('"cloud_url": "wss://h/x?a=1&bot_id=3"', "cloud_url", "a setting of its own")


def test_a_token_pasted_into_the_wrong_place_is_not_shown():
    token = "pat_never-to-be-seen-77"
    for text in (
        '"bot_id": "%s"', '"bot_id": "7", "cloud": "%s"', '"bot_id": "7", "asr_hot_words": ["%s", ""]',
        '"bot_id": "7", "custom_variables": {"a": "%s", "1": ""}', '"bot_id": "7", "%s": 1',
        '"bot_id": "7", "mode": ["%s"]',
    ):  # fmt: skip
        try:
            shown = " ".join(config.parse('{"token": "t", %s}' % text % token).warnings)
        except ConfigError as error:
            shown = error.text
        assert token not in shown and "looks like a token" in shown, (text, shown)
