"""Let go of modules that are needed once: their code is garbage afterwards, and a later import loads them anew."""

import sys


def unload(package_name, names):
    """Forget the modules `names` of a package; package_name "" for top-level modules. Absent ones are passed over."""
    package = sys.modules.get(package_name)
    for name in names:
        sys.modules.pop(package_name + "." + name if package_name else name, None)
        if package is not None and hasattr(package, name):
            delattr(package, name)  # an import leaves a second reference in the package
