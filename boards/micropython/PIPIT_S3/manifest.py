# What is frozen into the image: the port's own modules, aiohttp from micropython-lib, and the whole application.
# Paths are relative to this file. Nothing below has to be touched when a module or a board is added.
import os

REPOSITORY = "../../.."
DESKTOP_ONLY = ("sim.py", "kernels_host.py")


def files_in(folder):
    names = os.listdir(REPOSITORY + "/" + folder)
    return [name for name in sorted(names) if name.endswith(".py") and name not in DESKTOP_ONLY]


include("$(PORT_DIR)/boards/manifest.py")
require("aiohttp")

package("firmware", base_path=REPOSITORY)
package("boards", files=files_in("boards"), base_path=REPOSITORY)  # by name: this folder lies inside boards/ too
for name in files_in("lib"):
    module(name, base_path=REPOSITORY + "/lib")
# A frozen boot.py and main.py are run instead of files of these names on the disk; main.py still prefers an application
# in /slots, because it puts the slot's folders in front of the frozen modules on sys.path.
module("boot.py", base_path=REPOSITORY)
module("main.py", base_path=REPOSITORY)
