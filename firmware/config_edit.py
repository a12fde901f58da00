"""Changes the settings file for a host: merged, judged by the same code that will read it, written whole or not at all.

Loaded for one errand only, like the judge. No value of a setting ever stands in what is returned or raised, but for
those of read_redacted().
"""

import json

from . import boards, config, disk
from .compat import const
from .errors import ConfigError

_FILE_MAX_BYTES = const(16_384)
_ENOENT = const(2)
_STAND_IN = "1"  # for a required setting that is still to come: fits every one of them
_HIDDEN = "(set, not shown)"


class Settings:
    """path: of the settings file."""

    def __init__(self, path):
        self._path = path

    def change(self, values, removed=(), is_dry=False):
        """Merge `values` over the file and take the names in `removed` out of it, None: everything.

        Returns {"changed": names, "missing": required names without a value, "restart_needed", "warnings"}.
        ConfigError names the setting at fault; the file is as before then, as it is after a dry call. OSError: the
        disk takes nothing.
        """
        old, warnings = self._read()
        new = {} if removed is None else {key: old[key] for key in old if key not in removed}
        for key in values:
            new[key] = values[key]
        names = list(old) + [key for key in new if key not in old]
        changed = sorted([key for key in names if key not in old or key not in new or old[key] != new[key]])
        _check_names(tuple(values) + tuple(removed or ()), old)
        missing, judged = _judge(new)
        if "board" in changed:
            boards.load(judged.board)
        text = _formatted(new).encode()
        if len(text) > _FILE_MAX_BYTES:
            raise ConfigError("", "the settings are longer than %d bytes together" % _FILE_MAX_BYTES)
        if not is_dry and (changed or warnings):
            disk.write(self._path, text)
        return {
            "changed": changed,
            "missing": missing,
            "restart_needed": bool(changed) and not is_dry,
            "warnings": warnings + judged.warnings,
        }

    def read_redacted(self):
        """{"config": settings in force or, if they are wrong, those of the file; "missing": names; "problem": text}"""
        old, warnings = self._read()
        try:
            missing, judged = _judge(old)
        except ConfigError as error:
            return {"config": shown_of(old), "missing": [], "problem": error.text}
        shown = judged.redacted()
        for key in missing:
            shown[key] = ""
        return {"config": shown, "missing": missing, "problem": warnings[0] if warnings else ""}

    def board_name(self):
        """The board that the file names, whatever else is wrong in it; the default one when it names none."""
        from . import config_table

        try:
            name = self._read()[0].get("board")
        except OSError:
            name = None
        return name if name and isinstance(name, str) else [row[2] for row in config_table.ROWS if row[0] == "board"][0]

    def problem(self):
        """Why the file as it stands starts no speaker; "" when it does."""
        try:
            boards.load(config.load(self._path).board)
        except ConfigError as error:
            return error.text
        return ""

    def _read(self):
        """(what the file holds, [why it holds nothing])"""
        from json_strict import loads

        try:
            with open(self._path, "rb") as file:
                found = loads(file.read(_FILE_MAX_BYTES))
        except OSError as error:
            if error.errno != _ENOENT:
                raise  # taken for an empty one, it would lose all that it holds at the next change
            return {}, []
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found, []
        return {}, ["%s was no JSON object: what it held is lost" % self._path]


def _judge(values):
    """(names of required settings that have no value yet, the Config with stand-ins for them)"""
    from . import config_table

    whole = dict(values)
    cloud = values.get("cloud", "coze")
    required = config_table.REQUIRED.get(cloud, ()) if isinstance(cloud, str) else ()
    missing = [key for key in required if not values.get(key)]
    for key in missing:
        whole[key] = _STAND_IN
    return missing, config.parse(json.dumps(whole))


def _check_names(names, old):
    """A name that is no setting is a typing error; one that stands in the file may be taken out."""
    from . import config_table

    known = [row[0] for row in config_table.ROWS]
    for name in names:
        if name not in known and name not in old:
            near = config.suggestion(name)
            raise ConfigError(name[:40], "no such setting%s" % ("; did you mean %s?" % near if near else ""))


def shown_of(values):
    """What may be shown of settings that are wrong: no secret, nor a token at the wrong place, nor a URL that may hold
    one, nor a name that is no setting, because it may be that of a secret, mistyped.
    """
    from . import config_rules, config_table

    shown = {}
    for row in config_table.ROWS:
        key = row[0]
        if key in values and key != "cloud_url":
            is_hidden = row[1] == config_table.SECRET or config_rules.looks_like_token(values[key])
            shown[key] = _HIDDEN if is_hidden else values[key]
    return shown


def _formatted(values):
    lines = ["  %s: %s" % (json.dumps(key), json.dumps(values[key])) for key in sorted(values)]
    return "{\n" + ",\n".join(lines) + "\n}\n"
