"""`python -m tools config`: judges a configuration file with the speaker's own validator."""

import argparse
import json

from firmware import boards, config
from firmware.errors import ConfigError
from tools import ToolError


def run_cli(arguments):
    parser = argparse.ArgumentParser(
        description="Check a configuration file as the speaker does at its start.",
        epilog="Exit code 0: the speaker would start with this file.",
    )
    parser.add_argument("action", choices=("check", "show"), help="check: one verdict; show: every value, no secrets")
    parser.add_argument("file", nargs="?", default="config.json", help="default: config.json")
    options = parser.parse_args(arguments)
    settings = load(options.file)
    if options.action == "show":
        print(json.dumps(settings.redacted(), indent=2, ensure_ascii=False))
    for text in settings.warnings:
        print("warning: " + text)
    if options.action == "check":
        print("%s is fine: board %s, cloud %s, mode %s" % (options.file, settings.board, settings.cloud, settings.mode))
    return 0


def load(path):
    """The Config of `path`, its board data checked as well; ToolError with the validator's words."""
    try:
        settings = config.load(path)
        boards.load(settings.board)
    except ConfigError as error:
        raise ToolError("%s: %s" % (path, error.text)) from None
    return settings
