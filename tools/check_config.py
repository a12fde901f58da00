"""`python -m tools config`: judges a configuration file with the speaker's own validator."""

import argparse
import json

import json_strict
from firmware import boards, config
from firmware.errors import ConfigError
from tools import ToolError

FILE_MAX_BYTES = 16_384  # what the speaker reads of its config.json
STAND_INS = {"bot_id": "1", "token": "0" * 16}  # in place of what every speaker needs and this file does not tell yet
_TOKEN_FILE_MAX_BYTES = 4096


def run_cli(arguments):
    parser = argparse.ArgumentParser(
        description="Check a configuration file as the speaker does at its start, or list all settings.",
        epilog="Exit code 0: the speaker would start with this file.",
    )
    parser.add_argument(
        "action",
        choices=("check", "show", "keys"),
        help="check: one verdict; show: every value, no secrets; keys: all settings, as a table for a README",
    )
    parser.add_argument("file", nargs="?", default="config.json", help="default: config.json")
    options = parser.parse_args(arguments)
    if options.action == "keys":
        print("\n".join(settings_table()))
        return 0
    settings = load(options.file)
    if options.action == "show":
        print(json.dumps(settings.redacted(), indent=2, ensure_ascii=False))
    for text in settings.warnings:
        print("warning: " + text)
    if options.action == "check":
        print("%s is fine: board %s, cloud %s, mode %s" % (options.file, settings.board, settings.cloud, settings.mode))
    return 0


def settings_table():
    """Lines of a Markdown table of every setting."""
    yield "| setting | default | what it is | allowed |"
    yield "|---|---|---|---|"
    for key, _, default, allowed, text in config.describe():
        yield "| `%s` | `%s` | %s | %s |" % (key, json.dumps(default), text, allowed)


def load(path):
    """The Config of `path`, its board data checked as well; ToolError with the validator's words."""
    try:
        settings = config.load(path)
        boards.load(settings.board)
    except ConfigError as error:
        # Of a file that is none the text names the path already.
        raise ToolError("%s: %s" % (path, error.text) if error.key else error.text) from None
    return settings


def read(path):
    """What a file of settings holds, {key: value}, read as strictly as the speaker does and judged no further. ToolError
    when it holds no settings, which never quotes them; OSError."""
    data = _bytes_of(path, FILE_MAX_BYTES, "the settings")
    try:
        found = json_strict.loads(data)
    except json_strict.JSONError as error:
        raise ToolError("%s is not JSON: %s" % (path, error)) from None
    if not isinstance(found, dict):
        raise ToolError('%s must hold one JSON object: {"wifi_ssid": "...", ...}' % path)
    return found


def check_incomplete(settings, name):
    """Judge settings to which some that every speaker needs are still to come. ToolError also for a name that is no
    setting: it may be that of a secret, mistyped."""
    whole = dict(settings)
    whole.update({key: STAND_INS[key] for key in STAND_INS if not settings.get(key)})
    try:
        judged = config.parse(json.dumps(whole))
        boards.load(judged.board)
    except ConfigError as error:
        raise ToolError("%s: %s" % (name, error.text)) from None
    for key in judged.unknown:
        check_name(key)


def check_name(key):
    """ToolError when `key` is no setting."""
    if key not in [row[0] for row in config.describe()]:
        near = config.suggestion(key)
        hint = "did you mean %s?" % near if near else "`python -m tools config keys` lists them"
        raise ToolError("there is no setting %s; %s" % (key, hint))


def read_token(path):
    """The token in a file, without the white space around it. ToolError when there is none; OSError."""
    try:
        token = _bytes_of(path, _TOKEN_FILE_MAX_BYTES, "a token").decode("utf-8-sig").strip()
    except UnicodeError:
        token = ""
    if not token:
        raise ToolError("%s holds no token: one line of text is wanted" % path)
    return token


def _bytes_of(path, limit_bytes, what):
    with open(path, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ToolError("%s is longer than %d bytes: this cannot be %s" % (path, limit_bytes, what))
    return data
