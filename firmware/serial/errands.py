"""What a host asks seldom: the settings, the root certificates. Loaded for one errand.

Each takes (device, request) and returns the fields of its reply. ConfigError: the request is wrong; the text never
shows a value that may be a secret. OSError: the disk.
"""

import binascii
import hashlib

from .. import compat, disk
from ..compat import const
from ..errors import ConfigError

ROOTS = "tls_roots"
_PUT_MAX_BYTES = const(1024)  # of one piece
_ROOT_MAX_BYTES = const(8192)
_NAME_MAX = const(64)


def config(device, request):
    return device.settings.read_redacted()


def set_values(device, request):
    values = _member(request, "values", dict)
    return _changed(device, values, (), _flag(request, "dry"))


def reset(device, request):
    if _flag(request, "all"):
        return _changed(device, {}, None, _flag(request, "dry"))
    keys = _member(request, "keys", list)
    for key in keys:
        if not isinstance(key, str):
            raise ConfigError("keys", "is to be a list of names")
    return _changed(device, {}, keys, _flag(request, "dry"))


def mode(device, request):
    if "mode" not in request:
        return {"mode": device.status()["mode"]}
    return _changed(device, {"mode": request["mode"]}, (), _flag(request, "dry"))


def volume(device, request):
    """At once; with "keep" in the settings as well."""
    if "percent" not in request:
        return {"percent": device.status()["volume_percent"]}
    percent = _member(request, "percent", int)
    is_kept = _flag(request, "keep")
    _changed(device, {"volume_percent": percent}, (), not is_kept)  # judges it in either case
    return {"percent": device.set_volume(percent), "kept": is_kept}


def put(device, request):
    """One piece of a root certificate, or its removal."""
    path = _member(request, "path", str)
    name = path[len(ROOTS) + 1 :]
    if not _is_root_path(path, name):
        raise ConfigError("path", "is to be %s/NAME.der, NAME of letters, digits, - and _" % ROOTS)
    if _flag(request, "remove"):
        return {"path": path, "removed": disk.remove(path)}
    at = _member(request, "at", int)
    data = _decoded(_member(request, "data", str))
    if not 0 <= at <= _ROOT_MAX_BYTES - len(data):
        raise ConfigError("at", "a root certificate has at most %d bytes" % _ROOT_MAX_BYTES)
    disk.make_folder(ROOTS)
    part = path + ".part"
    is_last = _flag(request, "last")
    sha256 = _member(request, "sha256", str) if is_last else ""
    try:
        _write_part(part, at, data)
        if is_last:
            _accept(part, path, sha256)
    except (ConfigError, OSError):
        disk.remove(part)  # half of a root helps nobody, and the disk may be full
        raise
    return {"path": path, "size": at + len(data)}


def _is_root_path(path, name):
    if path != ROOTS + "/" + name or not name.endswith(".der") or not 5 <= len(name) <= _NAME_MAX:
        return False
    for char in name[:-4]:
        if not ("a" <= char <= "z" or "A" <= char <= "Z" or "0" <= char <= "9" or char == "-" or char == "_"):
            return False
    return True


def _decoded(text):
    try:
        data = binascii.a2b_base64(text)
    except ValueError:
        data = b""
    if not 0 < len(data) <= _PUT_MAX_BYTES:
        raise ConfigError("data", "is to be 1 to %d bytes in base64" % _PUT_MAX_BYTES)
    return data


def _write_part(part, at, data):
    """Pieces come in order; the first one begins anew."""
    with open(part, "wb" if at == 0 else "ab") as file:
        if file.seek(0, 2) != at:
            raise ConfigError("at", "this piece does not follow the last one: begin anew at 0")
        file.write(data)


def _accept(part, path, sha256):
    with open(part, "rb") as file:
        der = file.read()
    if binascii.hexlify(hashlib.sha256(der).digest()).decode() != sha256.lower():
        raise ConfigError("sha256", "does not fit what has arrived: send it anew")
    try:
        compat.tls_context((der,))
    except ValueError:
        raise ConfigError("data", "this is no certificate in DER form")
    disk.replace(part, path)


# The settings


def _changed(device, values, removed, is_dry):
    return device.settings.change(values, removed, is_dry)


def _member(request, name, kind):
    value = request.get(name)
    if type(value) is not kind:
        words = {dict: "an object", list: "a list", int: "a whole number", str: "a text"}
        raise ConfigError(name, "is to be " + words[kind])
    return value


def _flag(request, name):
    value = request.get(name, False)
    if type(value) is not bool:
        raise ConfigError(name, "is to be true or false")
    return value


DO = {"config": config, "set": set_values, "reset": reset, "mode": mode, "volume": volume, "put": put}
