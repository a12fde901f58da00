// A terminal device with the face of the browser's SerialPort: what the SDK uses of it, `readable` and `writable`.
import fs from "node:fs";
import tty from "node:tty";

// cut(bytes) -> list of pieces, written one after the other with a pause between them.
export function openPort(path, cut = (bytes) => [bytes]) {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NOCTTY);
  const input = new tty.ReadStream(fd);
  input.setRawMode(true);
  const readable = new ReadableStream({
    start(controller) {
      input.on("data", (data) => controller.enqueue(new Uint8Array(data)));
    },
    cancel() {
      input.pause();
    },
  });
  let sent = Promise.resolve();
  const writable = new WritableStream({
    write(bytes) {
      // As a browser's port: taken at once, on the wire a little later.
      for (const piece of cut(bytes)) {
        sent = sent.then(() => {
          fs.writeSync(fd, piece);
          return new Promise((resolve) => setTimeout(resolve, 2));
        });
      }
    },
  });
  return { readable, writable, send: (bytes) => fs.writeSync(fd, bytes), close: () => sent.then(() => input.destroy()) };
}
