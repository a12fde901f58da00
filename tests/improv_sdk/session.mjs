// Drives a speaker with the published SDK of Improv Wi-Fi: node session.mjs SDK_FOLDER PORT SCENE
// Prints one JSON object a line for each step; the exit code is 1 when the SDK met what it did not expect.
import { registerHooks } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { openPort } from "./serial_port.mjs";

const [sdkFolder, portPath, scene] = process.argv.slice(2);

// The package is written for bundlers, which find "./util/hex-formatter" without its ending.
registerHooks({
  resolve(specifier, context, next) {
    try {
      return next(specifier, context);
    } catch (error) {
      if (!specifier.startsWith(".")) throw error;
      return next(specifier + ".js", context);
    }
  },
});
const { ImprovSerial } = await import(pathToFileURL(path.join(sdkFolder, "dist", "serial.js")));

const complaints = [];
const logger = { log() {}, debug() {}, error: (...words) => complaints.push(words.join(" ")) };
const tell = (step, fields) => console.log(JSON.stringify({ step, ...fields }));

async function attempt(step, work) {
  try {
    tell(step, { result: (await work()) ?? null });
  } catch (error) {
    tell(step, { error: String(error) });
  }
}

async function session(cut, work) {
  const port = openPort(portPath, cut);
  const improv = new ImprovSerial(port, logger);
  const states = [];
  improv.addEventListener("state-changed", (event) => states.push(event.detail));
  await attempt("info", () => improv.initialize(10000));
  await work(improv, port);
  tell("states", { result: states });
  await improv.close();
  await port.close();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const byteByByte = (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte));
const oddSlices = (bytes) => [bytes.slice(0, 3), bytes.slice(3, 8), bytes.slice(8, 9), bytes.slice(9)];
const RPC_INFO = Uint8Array.of(73, 77, 80, 82, 79, 86, 1, 3, 2, 3, 0, 0xe6, 10);
const withWrongChecksum = (bytes) => bytes.map((byte, at) => (at === bytes.length - 2 ? byte ^ 0x55 : byte));

const SCENES = {
  async blank() {
    await session(undefined, async (improv) => {
      await attempt("scan", () => improv.scan());
      await attempt("hostname", () => improv.getHostname());
      await attempt("rename", () => improv.setHostname("kitchen"));
      await attempt("network", () => improv.requestNetworkState());
      await attempt("wrong password", () => improv.provision("pipit home", "wrong password"));
    });
    await session(byteByByte, async (improv) => {
      await attempt("right password", () => improv.provision("pipit home", "right password"));
      await attempt("network", () => improv.requestNetworkState());
    });
    await session(oddSlices, async () => {});
    let cut = (bytes) => [bytes];
    await session(
      (bytes) => cut(bytes),
      async (improv) => {
        cut = (bytes) => [withWrongChecksum(bytes)];
        await attempt("damaged", () => improv.getDeviceName());
        cut = (bytes) => [bytes.slice(0, 7), bytes]; // begun, and begun anew
        await attempt("cut short", () => improv.getDeviceName());
        await pause(200); // the answer to the second half of it comes behind the error
        cut = (bytes) => [new Uint8Array([...RPC_INFO, ...bytes])];
        await attempt("concatenated", () => improv.getDeviceName());
      },
    );
  },
  async running() {
    await session(undefined, async (improv, port) => {
      await attempt("name", () => improv.getDeviceName());
      port.send(Uint8Array.of(3));
      await pause(300);
    });
  },
};

await SCENES[scene]();
tell("complaints", { result: complaints });
process.exit(0);
