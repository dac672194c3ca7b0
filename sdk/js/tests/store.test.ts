/** The file store by itself: what is written at exit beside a compaction, and how much a queue takes. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { folderStore, replay } from "../src/node/store.js";
import type { Entry } from "../src/platform.js";

const ALL = 1 << 30;

function make() {
  const folder = fs.mkdtempSync(join(tmpdir(), "tidegate-test-"));
  const store = folderStore(folder, (text) => assert.fail(text))!;
  const id = "01890a5d-ac96-774b-bcce-b302099a8057";
  const found = (): Map<string, any> => {
    const name = fs.readdirSync(folder).find((one) => one.endsWith(".log"))!;
    return replay(fs.readFileSync(join(folder, name), "utf8"));
  };
  const queue = new Promise<unknown>((done) => store._open(id, done));
  const put = async (entries: Entry[], most = ALL) => {
    const into = await queue;
    return new Promise((done) => store._put(into, entries, most, done));
  };
  return { store, queue, put, found, folder };
}

// A process that exits runs its hook and calls nobody back any more, but what it had begun may still
// happen: before the hook writes, or after it.
const moments: [step: string, hookFirst: boolean][] = [
  ["writeFile", true],
  ["rename", true],
  ["rename", false],
];
for (const [step, hookFirst] of moments)
  test(`what is written at exit survives a compaction whose ${step} happens ${hookFirst ? "after" : "before"} it`, async () => {
    const { store, queue, put, found } = make();
    const into = await queue;
    await put([["e1", "x".repeat(5000)]]);
    await put([
      ["e1", null],
      ["e2", "y"],
    ]);
    const real: any = (fs as any)[step];
    const sync: any = (fs as any)[`${step}Sync`];
    const ended = new Promise<void>((over) => {
      (fs as any)[step] = (...args: any[]) => {
        const begun = () => sync(...args.slice(0, -1));
        const hook = () => store._spill!(into, [["e3", "z"]]);
        for (const f of hookFirst ? [hook, begun] : [begun, hook]) f();
        over();
      };
      syncBuiltinESMExports();
      // It has no room but for what a compaction frees.
      store._put(into, [["e4", "never"]], 1000, () => {});
    });
    await ended;
    (fs as any)[step] = real;
    syncBuiltinESMExports();
    assert.deepEqual(
      [...found()],
      [
        ["e2", "y"],
        ["e3", "z"],
      ],
    );
  });

test("a queue that is written and settled for long stays small, and keeps what is live", async () => {
  const { store, put, found } = make();
  const keeps = "k".repeat(10_000);
  for (let i = 0; i < 1000; i++)
    await put([
      [`e${i}`, keeps],
      [`e${i - 10}`, null],
      [`b${i}`, [1, [i], [0], false, new Uint8Array(500)]],
      [`b${i - 1}`, null],
    ]);
  assert(store._bytes() < 5 << 20, `${store._bytes()}`);
  const left = found();
  assert.deepEqual([...left.keys()].sort(), [
    "b999",
    ...Array.from({ length: 10 }, (_, i) => `e${990 + i}`),
  ]);
  assert.deepEqual(left.get("b999")[4], new Uint8Array(500));
});

test("what a write left that failed is not there after the next one", async () => {
  const { put, found } = make();
  await put([["e1", "one"]]);
  const real = fs.write;
  (fs as any).write = (fd: number, data: Buffer, from: number, n: number, at: null, done: any) =>
    // The whole line but its end, which would be read as a line.
    fs.writeSync(fd, data, from, n - 1, at) && done({ code: "ENOSPC" });
  syncBuiltinESMExports();
  assert.equal(await put([["e2", "moved"]]), "full");
  (fs as any).write = real;
  syncBuiltinESMExports();
  assert.equal(await put([["e3", "three"]]), undefined);
  assert.deepEqual(
    [...found()],
    [
      ["e1", "one"],
      ["e3", "three"],
    ],
  );
});

test("a block of numbers is there at once, also beside a rewrite of the file", async () => {
  const { store, queue, put, found } = make();
  const into = await queue;
  const epoch = "01890a5d-ac96-774b-bcce-b302099a8057";
  let upTo = 0;
  const reserve = () => {
    upTo += 256;
    assert(store._reserve!(into, epoch, upTo));
    assert.deepEqual(found().get("r"), [epoch, upTo]);
  };
  reserve();
  await put([["e1", "x".repeat(5000)]]);
  const real: any = { writeFile: fs.writeFile, rename: fs.rename };
  const steps: string[] = [];
  for (const step of ["writeFile", "rename"])
    (fs as any)[step] = (...args: any[]) => {
      const over = args.pop();
      steps.push(step);
      reserve();
      real[step](...args, (error: any) => {
        reserve();
        over(error);
      });
    };
  syncBuiltinESMExports();
  await put(
    [
      ["e1", null],
      ["e2", "y"],
    ],
    5500,
  );
  assert.equal(await put([["e3", "z"]], 1000), undefined);
  Object.assign(fs, real);
  syncBuiltinESMExports();
  assert.deepEqual(steps, ["writeFile", "rename"]);
  reserve();
  assert.deepEqual(Object.fromEntries(found()), { r: [epoch, upTo], e2: "y", e3: "z" });
  // Nothing of it is cut off as the rest of a write that failed.
  await put([["e4", "w"]], 10);
  assert.deepEqual(found().get("r"), [epoch, upTo]);
});

test("a write that a block of numbers parts is made again", async () => {
  const { store, queue, put, found } = make();
  const into = await queue;
  const real = fs.write;
  (fs as any).write = (fd: number, data: Buffer, from: number, n: number, at: null, done: any) => {
    (fs as any).write = real;
    syncBuiltinESMExports();
    real(fd, data, from, n >> 1, at, (error, written) => {
      assert(store._reserve!(into, "epoch", 256));
      done(error, written);
    });
  };
  syncBuiltinESMExports();
  assert.equal(await put([["e1", "one"]]), undefined);
  assert.equal(await put([["e2", "two"]]), undefined);
  assert.deepEqual(Object.fromEntries(found()), { e1: "one", e2: "two", r: ["epoch", 256] });
  const bytes = store._bytes();
  await put([["e3", "x".repeat(100)]], bytes + 10);
  // It was rewritten, and so its size was right.
  assert.deepEqual(Object.fromEntries(found()), {
    e1: "one",
    e2: "two",
    r: ["epoch", 256],
  });
});

test("a block of numbers that fails beside a write fails it as well, and leaves nothing", async () => {
  const { store, queue, put, found } = make();
  const into = await queue;
  await put([["e1", "one"]]);
  const real = fs.write;
  const sync = fs.writeFileSync;
  (fs as any).write = (fd: number, data: Buffer, from: number, n: number, at: null, done: any) => {
    (fs as any).write = real;
    (fs as any).writeFileSync = (file: number, text: string) => {
      sync(file, text.slice(0, 9));
      throw Object.assign(new Error("no room"), { code: "ENOSPC" });
    };
    syncBuiltinESMExports();
    assert.equal(store._reserve!(into, "epoch", 256), false);
    (fs as any).writeFileSync = sync;
    syncBuiltinESMExports();
    real(fd, data, from, n, at, done);
  };
  syncBuiltinESMExports();
  assert.equal(await put([["e2", "two"]]), "full");
  assert.equal(store._reserve!(into, "epoch", 256), false);
  assert.equal(await put([["e3", "three"]]), undefined);
  assert(store._reserve!(into, "epoch", 512));
  assert.deepEqual(Object.fromEntries(found()), { e1: "one", e3: "three", r: ["epoch", 512] });
});

test("a queue that another client took over is lost, also behind a write that failed", async () => {
  const { store, queue, put, folder } = make();
  await queue;
  const real = fs.write;
  (fs as any).write = (...args: any[]) => args.pop()({ code: "ENOSPC" });
  syncBuiltinESMExports();
  assert.equal(await put([["e1", "one"]]), "full");
  (fs as any).write = real;
  syncBuiltinESMExports();
  const [name] = fs.readdirSync(folder).filter((one) => one.endsWith(".log"));
  fs.renameSync(join(folder, name), join(folder, name.replace("-1-", "-2-")));
  assert.equal(store._reserve!(await queue, "epoch", 256), false);
  assert.equal(await put([["e2", "two"]]), "lost");
});
