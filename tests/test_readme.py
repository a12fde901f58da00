"""The README tells the truth where a machine can check it: settings, verbs, targets, files."""

import re
from pathlib import Path

from tools import __main__ as tools_main
from tools import check_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_table_as_the_validator_knows_it():
    table = "\n".join(check_config.settings_table())
    assert table in README, "paste the output of `python -m tools config keys` into README.md"


def test_every_verb_it_names_exists():
    verbs = set(re.findall(r"python -m tools (\w+)", README))
    assert {"sim", "cloud", "config"} <= verbs
    assert verbs <= {row[0] for row in tools_main.VERBS}


def test_every_make_target_it_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = _words_in_code()
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(r"^%s:" % target, makefile, re.MULTILINE), target


def _words_in_code():
    """Words that follow `make` inside code, not in prose."""
    code = re.findall(r"```sh\n(.*?)```", README, re.DOTALL) + re.findall(r"`([^`\n]+)`", README)
    return {word for text in code for word in re.findall(r"\bmake (\w+)", text)}


def test_every_file_it_names_exists():
    names = re.findall(r"`((?:firmware|lib|boards|tools|tests)/[\w/]*(?:\.\w+)?)`", README)
    assert len(names) > 8
    for name in names + re.findall(r"--mic (\S+\.wav)", README):
        assert (ROOT / name).exists(), name


def test_every_error_kind_but_a_bug_stands_in_it():
    from firmware import errors

    shown = README[README.index("## Troubleshooting") : README.index("## Layout")]
    for kind in ("slow", "wifi", "clock", "tls", "token", "refused", "config"):
        assert kind in errors.KINDS and "`%s`" % kind in shown


def test_the_board_file_that_it_shows_is_a_valid_one():
    from firmware import boards

    source = re.search(r"```python\n(\"\"\"My board.*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(source, names)
    boards.validate(names["BOARD"], "my_board")
