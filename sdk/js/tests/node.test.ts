/** Node with the real transport, the real clock and the real store. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { gateway, until } from "./gateway.js";

const dist = join(process.cwd(), "dist/node.mjs");
const { init } = (await import(dist)) as typeof import("../src/node.js");
const folder = () => mkdtempSync(join(tmpdir(), "tidegate-test-"));
const key = "wk_demo";

/** A program of its own, which ends by itself. */
const program = (code: string, ...more: string[]): Promise<number | null> =>
  new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `import { init } from ${JSON.stringify(dist)};${code}`,
        ...more,
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    child.on("exit", resolve);
  });

test("sends, compresses, closes", async () => {
  const g = await gateway();
  const client = init({ key, endpoint: g.endpoint });
  for (let i = 0; i < 200; i++) client.track("page.view", { i, text: "the same text again" });
  assert.equal(await client.close(), true);
  assert.equal(g.ids().size, 200);
  assert.equal(g.sends[0].gzip, true);
  assert.equal(g.sends[0].headers["content-type"], "application/x-ndjson");
  assert.equal(g.sends.at(-1)!.header.report.fin, 1);
  assert.equal(g.sends.at(-1)!.header.report.acked, 200);
  client.track("late");
  assert.deepEqual(client.stats().pre, [["closed", 1, 1]]);
  await g.close();
});

test("refuses what R41 names and nothing else", () => {
  const endpoint = "http://127.0.0.1:1";
  for (const bad of [
    {},
    { key },
    { endpoint },
    { key: "a", endpoint },
    { key, endpoint: "ftp://x" },
    { key, endpoint: `${endpoint}/?a=b` },
    null,
  ])
    assert.throws(() => init(bad as any), TypeError);
  const client = init({
    key,
    endpoint,
    batchMs: NaN,
    batchEventsMax: -1,
    context: 5 as any,
    instance: "a b",
  });
  assert.equal(client.stats().tracked, 0);
});

test("keeps no process alive, and its exit hook loses nothing", async () => {
  const g = await gateway();
  const storeDir = folder();
  const options = JSON.stringify({ key, endpoint: g.endpoint, storeDir, batchMs: 60000 });
  const code = await program(
    `const c = init(${options}); setTimeout(() => { for (let i = 0; i < 50; i++) c.track("t", { i }); }, 200);`,
  );
  assert.equal(code, 0);
  assert.equal(g.sends.length, 0);
  const next = init({ key, endpoint: g.endpoint, storeDir });
  await until(() => g.ids().size === 50, "50 recovered events");
  await until(() => g.sends.some((send) => send.header.report.fin), "the last report");
  const fin = g.sends.find((send) => send.header.report.fin)!.header.report;
  assert.equal(fin.admitted, 50);
  assert.equal(fin.acked, 50);
  assert.equal(await next.close(), true);
  await g.close();
});

test("SIGKILL loses at most what was not in the store, and it shows", async () => {
  const g = await gateway();
  const storeDir = folder();
  const options = JSON.stringify({
    key,
    endpoint: g.endpoint,
    storeDir,
    batchMs: 60000,
    storeFlushMs: 20,
  });
  // It dies as soon as something of what it tracked is in the store, however slow the disk is.
  const code = await program(
    `import { readdirSync, readFileSync } from "node:fs";
    const c = init(${options});
    const log = () => readdirSync(${JSON.stringify(storeDir)}, { recursive: true }).find((name) => name.endsWith(".log"));
    let i = 0;
    setInterval(() => {
      if (i < 100) c.track("t", { i: i++ });
      else if (readFileSync(${JSON.stringify(`${storeDir}/`)} + log(), "utf8").includes('seq')) process.kill(process.pid, "SIGKILL");
    }, 2);`,
  );
  assert.equal(code, null);
  const next = init({ key, endpoint: g.endpoint, storeDir });
  await until(() => g.sends.some((send) => send.header.report.fin), "the last report");
  const fin = g.sends.find((send) => send.header.report.fin)!.header.report;
  assert(fin.admitted > 0 && fin.admitted <= 100, `${fin.admitted}`);
  assert.equal(g.ids().size, fin.acked);
  assert.equal(fin.acked, fin.admitted);
  assert(fin.reserved >= 100);
  await next.close();
  await g.close();
});

for (const [calm, burst] of [
  [0, 1],
  [0, 129],
  [0, 2000],
  [10, 400],
])
  test(`SIGKILL right after ${burst} numbers behind ${calm}: all were reserved (R111)`, async () => {
    const g = await gateway();
    const storeDir = folder();
    const options = JSON.stringify({ key, endpoint: g.endpoint, storeDir, batchMs: 60000 });
    const code = await program(
      `const c = init(${options});
      const give = (n) => { for (let i = 0; i < n; i++) c.track("t"); };
      const end = () => { give(${burst}); process.kill(process.pid, "SIGKILL"); };
      if (${calm}) { give(${calm}); setTimeout(end, 50); } else end();`,
    );
    assert.equal(code, null);
    const next = init({ key, endpoint: g.endpoint, storeDir });
    await until(() => g.sends.some((send) => send.header.report.fin), "the last report");
    const { reserved, admitted, acked } = g.sends.find((send) => send.header.report.fin)!.header
      .report;
    const given = calm + burst;
    assert(reserved >= given && reserved <= given + 384, `${reserved} of ${given}`);
    assert(admitted <= given && acked === admitted && acked === g.ids().size);
    await next.close();
    await g.close();
  });

test("cluster and worker threads share one store and send nothing twice", async () => {
  const g = await gateway();
  const storeDir = folder();
  const options = { key, endpoint: g.endpoint, storeDir, batchMs: 100 };
  const worker = new Worker(
    `import(${JSON.stringify(dist)}).then(async ({ init }) => {
      const c = init(${JSON.stringify(options)});
      for (let i = 0; i < 30; i++) c.track("worker", { i });
      await c.close();
    });`,
    { eval: true },
  );
  const ended = new Promise((resolve) => worker.on("exit", resolve));
  const code = `const cluster = (await import("node:cluster")).default;
    if (cluster.isPrimary) { for (let i = 0; i < 3; i++) cluster.fork(); }
    else { const c = init(${JSON.stringify(options)}); for (let i = 0; i < 30; i++) c.track("cluster", { i }); await c.close(); process.disconnect(); }`;
  const path = join(folder(), "cluster.mjs");
  writeFileSync(path, `import { init } from ${JSON.stringify(dist)};${code}`);
  await new Promise((resolve) =>
    spawn(process.execPath, [path], { stdio: "inherit" }).on("exit", resolve),
  );
  await ended;
  const all = g.sends.flatMap((send) => send.events.map((event) => event.id));
  assert.equal(all.length, 120);
  assert.equal(new Set(all).size, 120);
  assert.equal(new Set(g.sends.map((send) => send.header.epoch)).size, 4);
  await g.close();
});

test("a cluster of which workers are killed: nothing twice, the loss bounded and visible", async () => {
  const g = await gateway();
  const storeDir = folder();
  const options = { key, endpoint: g.endpoint, storeDir, batchMs: 100, storeFlushMs: 20 };
  const path = join(folder(), "killed.mjs");
  // The primary's own log of calls is what is compared: a worker says each one before it makes it.
  writeFileSync(
    path,
    `import cluster from "node:cluster";
    import { init } from ${JSON.stringify(dist)};
    if (cluster.isPrimary) {
      let calls = 0;
      const workers = Array.from({ length: 4 }, () => cluster.fork());
      for (const [at, worker] of workers.entries()) {
        let own = 0;
        worker.on("message", () => {
          calls++;
          // Two are killed, the others close.
          if (++own === 200) at < 2 ? worker.process.kill("SIGKILL") : worker.send("close");
        });
      }
      process.on("exit", () => console.log(calls));
    } else {
      const c = init(${JSON.stringify(options)});
      const timer = setInterval(() => process.send(1, () => c.track("cluster")), 2);
      process.on("message", async () => {
        clearInterval(timer);
        await new Promise((resolve) => setTimeout(resolve, 50));
        await c.close();
        process.disconnect();
      });
    }`,
  );
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  await new Promise((resolve) => child.on("close", resolve));
  const calls = Number(out);
  const next = init({ key, endpoint: g.endpoint, storeDir });
  const fins = () =>
    new Map<string, any>(
      g.sends
        .filter((send) => send.header.report.fin)
        .map((send) => [send.header.epoch, send.header.report]),
    );
  await until(() => fins().size === 4, "four last reports");
  await next.close();
  const sum = (f: (report: any) => number) => [...fins().values()].reduce((n, r) => n + f(r), 0);
  // What was sent and not answered when a worker was killed may come again, as the same batch.
  const batches = new Map(g.sends.map((send) => [send.header.batch, send.events]));
  const all = [...batches.values()].flat().map((event) => event.id);
  assert.equal(all.length, new Set(all).size);
  assert.equal(
    sum((r) => r.acked),
    all.length,
  );
  assert.equal(
    sum((r) => r.admitted),
    sum((r) => r.acked),
  );
  const lost = calls - all.length;
  assert(lost >= 0 && lost <= 100, `${lost} of ${calls} lost`);
  assert(sum((r) => r.reserved - r.admitted) >= lost);
  await g.close();
});

test("a corrupt store never prevents init", async () => {
  const g = await gateway();
  const storeDir = folder();
  const first = init({ key, endpoint: "http://127.0.0.1:1", storeDir });
  for (let i = 0; i < 20; i++) first.track("t", { i });
  assert.equal(await first.close(200), false);
  const [sub] = readdirSync(storeDir);
  const name = readdirSync(join(storeDir, sub)).find((file) => file.endsWith(".log"))!;
  const path = join(storeDir, sub, name);
  writeFileSync(path, `${readFileSync(path, "utf8").slice(0, -40)}\u0000garbage`);
  writeFileSync(join(storeDir, sub, `v1-${"0".repeat(36)}-1-free.log`), "\u0001\u0002");
  const second = init({ key, endpoint: "http://127.0.0.1:1", storeDir });
  second.track("t");
  const { tracked, admitted, held } = second.stats();
  assert.deepEqual([tracked, admitted, held], [1, 1, 1]);
  await second.close(0);
  await g.close();
});

test("the sums hold, whatever the gateway does", async () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const g = await gateway((_, response) => {
    const r = random();
    if (r < 0.5) return;
    if (r < 0.6) response.destroy();
    else response.writeHead([500, 503, 429, 413, 400][Math.floor(random() * 5)]).end("{}");
    return true;
  });
  const client = init({
    key,
    endpoint: g.endpoint,
    batchMs: 100,
    batchEventsMax: 20,
    queueBytesMax: 65536,
    retryBaseMs: 100,
    retryCapMs: 1000,
    ratePerS: 20000,
    rateBurst: 300,
  });
  const check = () => {
    const s = client.stats();
    const sum = (rows: any[]) => rows.reduce((n, row) => n + row[2], 0);
    assert.equal(s.tracked, s.admitted + sum(s.pre));
    assert.equal(s.admitted, s.acked + s.held + sum(s.post));
    assert(s.queueBytes <= 65536);
    assert.equal(s.queued[0] + s.queued[1] + s.queued[2] <= s.held, true);
  };
  for (let i = 0; i < 100; i++) {
    for (let n = 0; n < 10; n++)
      client.track(
        random() < 0.1 ? "bad type" : "t",
        { x: "y".repeat(random() * 900) },
        { class: Math.floor(random() * 3) as any },
      );
    check();
    if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await client.close(1500);
  check();
  const s = client.stats();
  assert.equal(s.held, 0);
  const unconfirmed = s.post.find((row) => row[0] === "unconfirmed");
  const arrived = g.ids().size;
  assert(
    arrived >= s.acked &&
      arrived - s.acked <=
        s.post.filter((r) => r[0] === "unconfirmed").reduce((n, r) => n + r[2], 0),
    `${unconfirmed}`,
  );
  await g.close();
});

test("flush says false at its deadline, with nobody there", async () => {
  const client = init({ key, endpoint: "http://127.0.0.1:1" });
  client.track("t");
  assert.equal(await client.flush(300), false);
  assert.equal(client.stats().held, 1);
  assert.equal(await client.close(0), false);
});
