"""Serial ports: which there are, which one is meant, and why one cannot be opened, in words with a cure."""

import errno
import os
import sys

import serial
from serial.tools import list_ports as pyserial_ports

from tools import ToolError

try:
    import grp
except ImportError:  # Windows
    grp = None

BAUD_HZ = 115200
PORT_HELP = "serial port of the board (default: the only one that looks like a board)"
# USB vendor numbers of what sits on ESP32-S3 boards.
_VENDORS = {
    0x303A: "Espressif: the chip's own USB",
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x/CH910x",
    0x0403: "FTDI",
    0x067B: "Prolific PL2303",
}
_ESPRESSIF = 0x303A
NO_PORT_TEXT = """\
no board found on any USB port.
  - Is the cable a data cable? Many only charge. Try another cable and another socket, without a hub.
  - Boards with two USB sockets: either works; the one marked UART (or COM) needs a driver on Windows and macOS,
    for the chip that is printed beside it (CP210x or CH34x); the one marked USB needs none.
  - Nothing at all: hold BOOT, press and let go RST, let go BOOT. That starts the chip's own loader, which always
    shows up; then `python -m tools flash`.
  - In a virtual machine or container the port must be handed through."""


class PortBusy(ToolError):
    """Another program has the port."""


class Port:
    """One serial port: device is what --port takes, text describes it, is_likely: a USB chip that boards have."""

    def __init__(self, device, text, vendor=None, product=None, serial_number=None):
        self.device = device
        self.text = text
        self.vendor = vendor
        self.product = product
        self.serial_number = serial_number

    @property
    def is_likely(self):
        return self.vendor in _VENDORS

    @property
    def is_native_usb(self):
        """The chip's own USB, which vanishes while the chip resets; a bridge chip stays."""
        return self.vendor == _ESPRESSIF

    def __repr__(self):
        return "Port(%r, %r)" % (self.device, self.text)


def list_ports():
    """Every serial port of this computer that hangs on USB, likely boards first; a list of Port."""
    found = []
    for info in pyserial_ports.comports():
        if info.vid is None:
            continue  # a socket on the mainboard, a modem, Bluetooth: never a board
        text = _VENDORS.get(info.vid) or info.manufacturer or "unknown maker"
        if info.product:
            text += ", " + "".join(letter for letter in info.product if letter.isprintable())
        found.append(Port(info.device, text, info.vid, info.pid, info.serial_number))
    return sorted(found, key=lambda port: (not port.is_likely, port.device))


def is_uart(name):
    """True when a bridge chip, or something unknown, lies between this computer and the chip: not for the chip's own
    USB, and not for a pseudo terminal."""
    if name.startswith("/dev/pts/"):
        return False
    path = os.path.realpath(name)  # /dev/serial/by-id/... is a link
    return not any(port.is_native_usb for port in list_ports() if os.path.realpath(port.device) == path)


def choose_port(name=None):
    """Path of the port that is meant: `name` when given (a pseudo terminal is a port too), else the only likely one.

    Raises ToolError when there is none, or several to choose from.
    """
    if name:
        if os.name == "posix" and "://" not in name and not os.path.exists(name):
            raise ToolError("there is no port %s; %s" % (name, _found_text(list_ports())))
        return name
    ports = list_ports()
    likely = [port for port in ports if port.is_likely] or ports
    if not likely:
        raise ToolError(NO_PORT_TEXT)
    if len(likely) > 1:
        raise ToolError("%d boards could be meant; choose with --port:\n%s" % (len(likely), table(likely)))
    return likely[0].device


def table(ports):
    """Lines "  DEVICE  description"."""
    width = max([len(port.device) for port in ports] + [0])
    return "\n".join("  %-*s  %s" % (width, port.device, port.text) for port in ports)


def _found_text(ports):
    if not ports:
        return "no USB port is here at all. Is the board plugged in, with a data cable?"
    return "found here:\n" + table(ports)


def open_serial(port, timeout_s=None, baud_hz=BAUD_HZ):
    """An open pyserial port for this program alone. ToolError with cause and cure when it cannot be had."""
    try:
        return serial.serial_for_url(port, baudrate=baud_hz, timeout=timeout_s, write_timeout=10, exclusive=True)
    except (OSError, ValueError) as error:
        raise why_closed(port, error) from None


def why_closed(port, error):
    """The ToolError for an `error` at opening `port`, with the cure; PortBusy when another program has it."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number == errno.EACCES or isinstance(error, PermissionError) or "PermissionError" in text:
        if os.name != "nt":
            return ToolError(_denied(port))
        number = errno.EBUSY  # what Windows says when another program has it
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "busy" in text.lower():
        holder = _holder(port) or "another program (a monitor, an IDE)"
        return PortBusy("%s is in use by %s; close it and try again" % (port, holder))
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        return ToolError("there is no port %s any more; plug the board in again" % port)
    if isinstance(error, ValueError) or number in (errno.ENOTTY, errno.EISDIR) or "ioctl for device" in text:
        text = "%s is not a serial port; leave --port out, and the port of the board is looked for" % port
        return ToolError(text)
    reason = getattr(error, "strerror", None) or text
    return ToolError("cannot open %s: %s; unplug the board, plug it in again" % (port, reason))


def why_lost(error):
    """Why an open port failed, in a few words."""
    text = str(error)
    if "returned no data" in text or getattr(error, "errno", None) in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return "it was closed at the other end"
    return "".join(letter if letter.isprintable() else " " for letter in text)[:120]


def _denied(port):
    group = "dialout"
    try:
        group = grp.getgrgid(os.stat(port).st_gid).gr_name
    except (AttributeError, KeyError, OSError):
        pass
    if group == "root" or sys.platform == "darwin":
        return "no permission for %s; `ls -l %s` shows who may use it" % (port, port)
    return (
        "no permission for %s: it belongs to the group %s. Join it with\n"
        "  sudo usermod -aG %s $USER\nthen log out and in again" % (port, group, group)
    )


def _holder(port):
    """Name and process id of the program that has the port open, on Linux and among our own; else ""."""
    wanted = os.path.realpath(port)
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    except OSError:
        return ""
    for process in processes:
        folder = "/proc/%s/fd/" % process
        try:
            if any(os.readlink(folder + number) == wanted for number in os.listdir(folder)):
                with open("/proc/%s/comm" % process, encoding="utf-8", errors="replace") as file:
                    return "%s (process %s)" % (file.read().strip(), process)
        except OSError:
            continue  # not ours to look into, or gone meanwhile
    return ""
