/** The Node adapter: one JSON object a line on stdin, one on stdout. */
import { createInterface } from "node:readline";
import { atExit } from "../src/node/exit.js";
import { nodePlatform } from "../src/node/platform.js";
import { folderStore } from "../src/node/store.js";
import { storeFolder } from "../src/node.js";
import { operator } from "./ops.js";
import { World } from "./virtual.js";

const world = new World();
world.kill = () => process.kill(process.pid, "SIGKILL");
world.turn = () => new Promise((resolve) => setImmediate(resolve));
console.warn = (...text: unknown[]) => process.stderr.write(`${text.join(" ")}\n`);

const disks = new Map<string, { mode: string }>();
let mode = "ok";

const run = operator({
  world,
  who: {
    sdk: "node/0.1.0",
    profile: "server",
    caps: "virtual store crash kill share exit disk secret_key gzip etag headers undefined dynamic".split(
      " ",
    ),
    missing: {
      fork: "a Node process cannot fork; cluster starts fresh processes",
      net: "Node is not told whether there is a network",
      page: "no page",
      beacon: "no page",
      bfcache: "no page",
    },
  },
  platform(options, store) {
    // Refused options must not make folders.
    const folder = store && storeFolder({ ...options, storeDir: store });
    const made = folder
      ? folderStore(folder, (text) => console.warn(text), world.point)
      : undefined;
    if (made) {
      made.mode = mode;
      disks.set(folder!, made);
    }
    return nodePlatform(made, `${options.key}`);
  },
  started: (state) => void atExit(state),
  async more(m) {
    if (m.op === "disk") {
      mode = m.mode;
      for (const disk of disks.values()) disk.mode = mode;
      return {};
    }
    if (m.op === "exit") process.exit(0);
  },
});

let turn: Promise<void> = Promise.resolve();
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (!line.trim()) return;
  turn = turn.then(async () => {
    const answer = await run(JSON.parse(line));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  });
});
lines.on("close", () => void turn.then(() => process.exit(0)));
process.on("unhandledRejection", (reason) => {
  process.stderr.write(`unhandled rejection: ${reason}\n`);
  process.exitCode = 1;
});
