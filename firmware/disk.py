"""Files on the disk, written so that a power cut leaves the old one or the new one, never half of either."""

import os

from .compat import const

_EEXIST = const(17)


def write(path, data):
    """Write data (str or bytes) as the file at path. OSError when the disk takes it not; the old file then stands."""
    new = path + ".new"
    try:
        with open(new, "wb" if isinstance(data, bytes) else "w") as file:
            file.write(data)
        replace(new, path)
    except OSError:
        remove(new)
        raise


def replace(new, path):
    """Rename `new` to `path`, over a file that may stand there."""
    try:
        os.rename(new, path)
    except OSError as error:
        if error.errno != _EEXIST:
            raise
        os.remove(path)  # a FAT disk renames over nothing
        os.rename(new, path)


def remove(path):
    """True when there was such a file."""
    try:
        os.remove(path)
    except OSError:
        return False
    return True


def make_folder(path):
    """A folder of that name, unless there is one."""
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno != _EEXIST:
            raise
