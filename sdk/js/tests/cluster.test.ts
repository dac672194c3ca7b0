/** A cluster on one store; its workers end by SIGKILL, an exception, `process.exit`, or in order. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gateway, until } from "./gateway.js";

const dist = join(process.cwd(), "dist/node.mjs");
const { init } = (await import(dist)) as typeof import("../src/node.js");
const key = "wk_demo";
const endings = ["SIGKILL", "exception", "exit", "close"] as const;
const eventsEach = 300;
// The documented window is `storeFlushMs`; the flush here is much quicker than what is allowed, so
// that a busy machine does not decide about the verdict.
const storeFlushMs = 50;
const windowMs = 1000;

/** Every worker tracks, writes down when, and ends in its own way. */
const program = (options: object, notes: string) => `
import cluster from "node:cluster";
import { closeSync, openSync, writeSync } from "node:fs";
import { init } from ${JSON.stringify(dist)};
if (cluster.isPrimary) {
  for (const ending of ${JSON.stringify(endings)}) cluster.fork({ ENDING: ending });
} else {
  const ending = process.env.ENDING;
  const file = openSync(${JSON.stringify(notes)} + ending, "w");
  const client = init(${JSON.stringify(options)});
  let n = 0;
  const timer = setInterval(async () => {
    for (let i = 0; i < 3; i++, n++) {
      client.track("t", { by: ending, n });
      writeSync(file, n + " " + Date.now() + "\\n");
    }
    if (n < ${eventsEach}) return;
    clearInterval(timer);
    writeSync(file, "end " + Date.now() + "\\n");
    if (ending === "SIGKILL") process.kill(process.pid, "SIGKILL");
    if (ending === "exception") throw new Error("on purpose");
    if (ending === "exit") process.exit(3);
    await client.close();
    process.disconnect();
  }, 2);
}`;

test("cluster: nothing twice, loss within the window and visible as a gap", async (t) => {
  const g = await gateway();
  const folder = mkdtempSync(join(tmpdir(), "tidegate-test-"));
  const storeDir = join(folder, "store");
  const options = { key, endpoint: g.endpoint, storeDir, storeFlushMs, batchMs: 100 };
  const path = join(folder, "cluster.mjs");
  writeFileSync(path, program(options, join(folder, "notes-")));
  await new Promise((resolve) => spawn(process.execPath, [path]).on("exit", resolve));

  const next = init({ key, endpoint: g.endpoint, storeDir });
  const fins = () => g.sends.map((send) => send.header).filter((header) => header.report.fin);
  await until(() => fins().length === endings.length, "a last report of every worker");
  await next.close();

  const epochs = new Map<string, string>();
  const arrived = new Map<string, Set<number>>(endings.map((ending) => [ending, new Set()]));
  const ids = new Set<string>();
  // A worker that died behind a send left its batch to the next client, which sends it again under its
  // id; a gateway takes it once.
  const batches = new Map(g.sends.map((send) => [send.header.batch, send]));
  for (const send of batches.values())
    for (const event of send.events) {
      const { by, n } = event.props;
      epochs.set(by, send.header.epoch);
      assert(!ids.has(event.id) && !arrived.get(by)!.has(n), `${by} ${n} came twice`);
      ids.add(event.id);
      arrived.get(by)!.add(n);
    }
  for (const ending of endings) {
    const lines = readFileSync(join(folder, `notes-${ending}`), "utf8")
      .trim()
      .split("\n");
    const at = lines.map((line) => +line.split(" ")[1]);
    const ended = at.pop()!;
    const got = arrived.get(ending)!;
    const lost = at.flatMap((_, n) => (got.has(n) ? [] : [n]));
    // What is lost is the end of what was tracked.
    assert.deepEqual(
      lost,
      at.flatMap((_, n) => (n >= got.size ? [n] : [])),
      ending,
    );
    if (ending !== "SIGKILL") assert.equal(lost.length, 0, ending);
    const oldest = lost.length ? ended - at[lost[0]] : 0;
    assert(oldest <= windowMs, `${ending}: an event that was ${oldest} ms old is lost`);
    const { report } = fins().find((header) => header.epoch === epochs.get(ending))!;
    assert.equal(report.admitted, got.size, ending);
    assert.equal(report.acked, got.size, ending);
    if (lost.length) assert(report.reserved - report.admitted >= lost.length, ending);
    t.diagnostic(
      `${ending}: ${at.length} tracked, ${got.size} arrived, ${lost.length} lost ` +
        `(the oldest ${oldest} ms old, storeFlushMs ${storeFlushMs}), ` +
        `reserved ${report.reserved ?? "-"}, admitted ${report.admitted}`,
    );
  }
  await g.close();
});
