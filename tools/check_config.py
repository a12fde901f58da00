"""`python -m tools config`: judges a configuration file with the speaker's own validator."""

import argparse
import json

from firmware import boards, config
from firmware.errors import ConfigError
from tools import ToolError


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
        raise ToolError("%s: %s" % (path, error.text)) from None
    return settings
