"""`python -m tools flash`: a MicroPython image onto an ESP32-S3, judged before anything is erased."""

import argparse
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tools import ToolError
from tools.board import chip as chips
from tools.board import esp_image, partitions, ports

_EPILOG = """\
The image: MicroPython's download page, board ESP32_GENERIC_S3, version 1.24 or later, the .bin file; "Support for Octal
SPIRAM" for modules with 8 MB of PSRAM and more (N8R8, N16R8), the plain one for all others.

examples:
  python -m tools flash ~/Downloads                 the newest image in the folder that fits the chip
  python -m tools flash ESP32_GENERIC_S3-SPIRAM_OCT-20250911-v1.26.1.bin
  python -m tools flash IMAGE.bin --dry-run         judge the image; no board is needed
  python -m tools flash IMAGE.bin --filesystem pipit.lfs     with the files of `python -m tools image`

Everything on the chip is erased, the settings too. A flash that was cut off can always be repeated: the loader that
takes the image cannot be erased.
"""


def run_cli(arguments):
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if options.dry_run:
        image = esp_image.find(options.image, options.psram)
        console.print(image.text(), markup=False)
        for offset, data, name in _files(options, image, chips.parse_size(options.flash_size)):
            console.print("  0x%06x  %8d bytes  %s" % (offset, len(data), name), markup=False)
        console.print("This image can be written. Nothing was touched.")
        return 0
    esp_image.find(options.image, options.psram)  # what is no image is told before the board is asked
    if options.filesystem:
        open(options.filesystem, "rb").close()
    port = ports.choose_port(options.port)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("writing", total=None, visible=False)

        def on_progress(done, total):
            progress.update(task, completed=done, total=total, visible=True)

        with chips.connect(port, say=console.print, on_progress=on_progress) as chip:
            console.print("%s: %s" % (port, chip.text()), markup=False)
            return _flash(chip, options, console, progress)


def _flash(chip, options, console, progress):
    psram = options.psram or chip.psram
    if psram is None and chip.psram_mb != 0:
        text = "this chip has %s: say --psram octal or --psram quad; the datasheet of its module tells"
        raise ToolError(text % chip.psram_text())
    image = esp_image.find(options.image, psram)
    console.print(image.text(), markup=False)
    check_fit(image, chip, psram)
    parts = _files(options, image, chip.flash_bytes)
    progress.stop()
    try:
        is_agreed = options.yes or _agrees(console)
    except KeyboardInterrupt:
        console.print("\nNothing was touched.")
        raise
    if not is_agreed:
        console.print("Nothing was touched.")
        return 1
    progress.start()
    try:
        chips.write(chip, [(offset, data) for offset, data, _ in parts], is_erased_first=True)
    except KeyboardInterrupt:
        console.print("\nstopped: the chip is without a program now. Run the same command again to finish.")
        raise
    console.print("written and compared: %d bytes" % sum(len(data) for _, data, _ in parts))
    hint = "provision" if options.filesystem else "deploy"
    console.print("next: press RST if the board has one, then `python -m tools %s`" % hint, markup=False)
    return 0


def check_fit(image, chip, psram):
    """ToolError when the image does not fit the chip: PSRAM kind, size of the flash."""
    if image.psram == esp_image.OCTAL and psram != esp_image.OCTAL:
        text = "%s drives octal PSRAM; this chip has %s. Take the plain image, or --psram octal if you know better"
        raise ToolError(text % (image.name, "quad PSRAM" if psram else "none in its package"))
    if image.psram == esp_image.QUAD and psram == esp_image.OCTAL:
        text = "%s would not see this chip's octal PSRAM; take the image with SPIRAM_OCT in its name"
        raise ToolError(text % image.name)
    if chip.flash_bytes and len(image.data) > chip.flash_bytes:
        raise ToolError("%s is larger than the chip's flash" % image.name)


def _files(options, image, flash_bytes):
    """[(address, bytes, name)] to be written; the file system's place is known by the image's partition table."""
    parts = [(0, image.data, image.name)]
    if options.filesystem:
        offset, size = partitions.file_system(image.table, flash_bytes)
        with open(options.filesystem, "rb") as file:
            data = file.read()
        if len(data) != size:
            text = "%s has %d KB, MicroPython on this chip wants %d KB: build it again with `python -m tools image`"
            raise ToolError(text % (options.filesystem, len(data) // 1024, size // 1024))
        parts.append((offset, data, options.filesystem))
    return parts


def _agrees(console):
    if not chips.is_terminal(sys.stdin):
        raise ToolError("everything on the chip would be erased; say --yes to agree from a script")
    console.print("Everything on the chip will be erased, its settings too. Write now? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _parser():
    parser = argparse.ArgumentParser(
        description="Erase an ESP32-S3 and write MicroPython to it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("image", help="the .bin file, or a folder to look for the newest one that fits")
    add("--port", help=ports.PORT_HELP)
    add("--filesystem", metavar="FILE", help="write these files too: what `python -m tools image` made")
    add("--psram", choices=(esp_image.OCTAL, esp_image.QUAD), help="the module's PSRAM, where the chip does not tell")
    add("--flash-size", default="16MB", metavar="SIZE", help="with --dry-run: the chip's flash (default: %(default)s)")
    add("--yes", action="store_true", help="erase without asking")
    add("--dry-run", action="store_true", help="judge the image and say what would be written; no board is needed")
    return parser
