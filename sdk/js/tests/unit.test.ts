/** The client over a virtual platform: no network, no clock, no sleep. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { SplitMix64 } from "../adapter/vec.js";
import { World } from "../adapter/virtual.js";
import { create } from "../src/client.js";
import { write } from "../src/json.js";
import { more } from "../src/more/index.js";
import type { Reply } from "../src/more/reply.js";
import { SERVER } from "../src/node/defaults.js";
import { lineOf, readLine, replay } from "../src/node/store.js";
import type { HttpRequest, Platform, Store } from "../src/platform.js";
import { Reason } from "../src/reasons.js";

type Answer = (r: HttpRequest, header: any, events: any[]) => Reply | undefined;

/** A client whose requests `answer` settles; undefined leaves them open. */
function make(options: object, answer: Answer, seed = "42", store?: Store) {
  const world = new World();
  world.wall = 1_767_225_600_000;
  const sends: { header: any; events: any[]; url: URL }[] = [];
  const later: (() => void)[] = [];
  const real: Platform = {
    _defaults: SERVER,
    _sdk: "test/0",
    _mono: () => 0,
    _wall: () => 0,
    _unit: () => 0,
    _u64: () => 0n,
    _timer: () => () => {},
    _http(r, done) {
      let over = false;
      later.push(() => {
        if (over) return;
        if (!r._body) return done({ _status: 404 });
        const body = r._body![0] === 0x1f ? gunzipSync(r._body!) : Buffer.from(r._body!);
        const [header, ...events] = body
          .toString()
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line));
        sends.push({ header, events, url: new URL(r._url) });
        const reply = answer(r, header, events);
        if (reply) done(reply);
      });
      return () => {
        over = true;
      };
    },
    _gzip: (bytes, done) => done(new Uint8Array(gzipSync(bytes))),
    _store: store,
    _warn: () => {},
  };
  const drops: [string, number, number][] = [];
  const [client] = create(
    {
      key: "wk_demo",
      endpoint: "http://gateway",
      onDrop: (r, c, n) => drops.push([r, c, n]),
      ...options,
    },
    world.wrap(real, seed),
    more,
  );
  const settle = () => {
    for (let f = later.shift(); f; f = later.shift()) f();
  };
  const advance = (ms: number) => {
    settle();
    for (let left = ms; ; ) {
      const moved = world.advance(left);
      settle();
      left -= moved;
      if (left <= 0 && world.pulse().timer_ms !== 0) break;
    }
  };
  settle();
  return { client, world, sends, drops, advance, settle };
}

const ok = (header: any, events: any[]): Reply => ({
  _status: 200,
  _body: JSON.stringify({ batch: header.batch, accepted: events.length }),
});

const sum = (rows: any[]) => rows.reduce((n, row) => n + row[2], 0);

for (let seed = 1; seed <= 20; seed++)
  test(`property: the two sums hold in every report and at every moment, seed ${seed}`, async () => {
    const random = new SplitMix64(BigInt(seed));
    const arrived = new Set<string>();
    const t = make(
      { queueBytesMax: 65536, batchEventsMax: 20, ttlMs: 60000, ratePerS: 500, rateBurst: 200 },
      (_, header, events) => {
        const { report } = header;
        assert.equal(report.tracked, report.admitted + sum(report.pre));
        assert.equal(report.admitted, report.acked + report.held + sum(report.post));
        assert.equal(header.count, events.length);
        const r = random.unit();
        const lost = r >= 0.5 && r < 0.6;
        if (r < 0.6) for (const event of events) arrived.add(event.id);
        if (r < 0.5) return ok(header, events);
        if (lost) return { _status: 0 };
        if (r < 0.65) return undefined;
        return {
          _status: [0, 500, 503, 429, 413, 400, 302][Math.floor(random.unit() * 7)],
          _body: "{}",
        };
      },
      `${seed}`,
    );
    const check = () => {
      const s = t.client.stats();
      assert.equal(s.tracked, s.admitted + sum(s.pre));
      assert.equal(s.admitted, s.acked + s.held + sum(s.post));
      assert(s.queueBytes <= 65536 && s.queueBytes >= 0);
      const unconfirmed = sum(s.post.filter((row) => row[0] === "unconfirmed"));
      assert(arrived.size >= s.acked, "acked but not arrived");
      assert(arrived.size - s.acked <= unconfirmed + s.held, "arrived, and said to be dropped");
      assert.equal(sum(t.drops), sum(s.pre) + sum(s.post));
    };
    for (let i = 0; i < 150; i++) {
      const n = Math.floor(random.unit() * 30);
      for (let k = 0; k < n; k++)
        t.client.track(
          random.unit() < 0.05 ? "?" : "t",
          { x: "y".repeat(random.unit() * 800) },
          {
            class: Math.floor(random.unit() * 3) as any,
          },
        );
      check();
      t.advance(Math.floor(random.unit() * 3000));
      check();
    }
    const closing = t.client.close(5000);
    // The steps of `close` are promises, which go on between the ticks.
    for (let i = 0; i < 10; i++) {
      t.advance(1000);
      await new Promise(setImmediate);
    }
    await closing;
    check();
    assert.equal(t.client.stats().held, 0);
  });

test("a batch keeps its bytes, and seqs follow each other", () => {
  let fails = 2;
  const t = make({}, (_, header, events) => (fails-- > 0 ? { _status: 500 } : ok(header, events)));
  for (let i = 0; i < 5; i++) t.client.track("t", { i });
  t.advance(60000);
  assert.deepEqual(
    t.sends.map((s) => s.url.searchParams.get("attempt")),
    ["0", "1", "2"],
  );
  assert.equal(new Set(t.sends.map((s) => s.header.batch)).size, 1);
  assert.deepEqual(
    t.sends[2].events.map((e) => e.seq),
    [1, 2, 3, 4, 5],
  );
});

test("beforeSend gets a copy", () => {
  const props = { deep: { secret: 1 } };
  const t = make(
    {
      beforeSend(event: any) {
        event.props.deep.secret = 0;
        return event;
      },
    },
    (_, header, events) => ok(header, events),
  );
  t.client.track("t", props);
  t.advance(2000);
  assert.equal(props.deep.secret, 1);
  assert.equal(t.sends[0].events[0].props.deep.secret, 0);
});

test("what shares its parts is written, what contains itself is not", () => {
  const part = { a: 1 };
  assert.equal(write([part, part], 100), '[{"a":1},{"a":1}]');
  const loop: any[] = [];
  loop.push(loop, loop);
  assert.throws(() => write(loop, 100));
  // Doubling sixty times must not take for ever.
  let wide: any = [];
  for (let i = 0; i < 60; i++) wide = [wide, wide];
  assert.throws(
    () => write(wide, 1000),
    (thrown) => thrown === Reason.TooLarge,
  );
});

test("lines of the store: whole, or not at all", () => {
  const line = lineOf([
    ["e1", "1{}"],
    ["b1", [1, [1], [0], true, Uint8Array.of(0, 255)]],
  ]);
  assert.deepEqual(readLine(line.trimEnd())![1][1], [1, [1], [0], true, Uint8Array.of(0, 255)]);
  for (let cut = 0; cut < line.length - 1; cut++)
    assert.equal(readLine(line.slice(0, cut)), undefined);
  assert.deepEqual([...replay(`${line + lineOf([["e1", null]])}torn`).keys()], ["b1"]);
});

test("public calls throw nothing, whatever they get", () => {
  const t = make(
    {
      onDrop: () => {
        throw new Error("hook");
      },
    },
    (_, header, events) => ok(header, events),
  );
  const odd: any[] = [
    undefined,
    null,
    5,
    "",
    Symbol("s"),
    5n,
    [],
    {},
    () => 1,
    Object.create(null),
    new Proxy(
      {},
      {
        get() {
          throw new Error("no");
        },
      },
    ),
  ];
  for (const a of odd) for (const b of odd) for (const c of odd) t.client.track(a, b, c);
  for (const a of odd) void t.client.flush(a as any);
  assert.equal(t.client.stats().tracked, odd.length ** 3);
});

test("a block of numbers is written by track, but not to a disk that does not answer (R111)", () => {
  const blocks: number[] = [];
  let accepts = true;
  const store: Store = {
    _get: () => null,
    _set: () => {},
    _open: (_, done) => done({}),
    _claim: (_, done) => done(),
    // The first write begins at once and never ends.
    _put: () => {},
    _drop: () => {},
    _free: () => {},
    _bytes: () => 0,
    _reserve: (_queue, _epoch, upTo) => blocks.push(upTo) > 0 && accepts,
  };
  const t = make({}, ok, "1", store);
  const track = (n: number) => {
    for (let i = 0; i < n; i++) t.client.track("t");
  };
  track(300);
  assert.deepEqual(blocks, [256, 512]);
  accepts = false;
  track(300);
  // What was refused is not asked for again with every event.
  assert.deepEqual(blocks, [256, 512, 768]);
  t.advance(100);
  accepts = true;
  track(600);
  assert.deepEqual(blocks, [256, 512, 768]);
  assert.equal(t.client.stats().held, 1200);
});

test("property: plain data is written as what is odd about its root makes it written", () => {
  const random = new SplitMix64(7n);
  const pick = <T>(list: T[]): T => list[Math.floor(random.unit() * list.length)];
  const words = ["", "a", "\ud83d\ude00", "x\ud800", '\udc00"\\ud8', "\\udead", "\n\u2028", "é"];
  const shared = { again: [1] };
  const value = (depth: number): any => {
    const leaf = () =>
      pick([...words, 0, -1.5, 1e300, NaN, Infinity, true, null, undefined, Symbol("s"), shared]);
    if (!depth || random.unit() < 0.3) return leaf();
    const n = Math.floor(random.unit() * 5);
    if (random.unit() < 0.5) return Array.from({ length: n }, () => value(depth - 1));
    return Object.fromEntries(
      Array.from({ length: n }, (_, i) => [pick(words) + i, value(depth - 1)]),
    );
  };
  const written = (of: unknown, most: number) => {
    try {
      return write(of, most);
    } catch (thrown) {
      return thrown;
    }
  };
  const all = new Set<unknown>();
  for (let i = 0; i < 5000; i++) {
    const plain = Object.fromEntries(words.map((word) => [word, value(pick([0, 2, 5]))]));
    const most = pick([10, 100, 100_000]);
    const text = written(plain, most);
    // A map is not plain, and is written as an object.
    assert.equal(text, written(new Map(Object.entries(plain)), most));
    all.add(typeof text === "string" ? "text" : text);
  }
  let deep: unknown = 1;
  for (let i = 0; i < 62; i++) deep = [deep];
  assert.equal(written({ deep }, 1000), written(new Map([["deep", deep]]), 1000));
  assert.equal(typeof written({ deep }, 1000), "string");
  assert.equal(written({ deep: [deep] }, 1000), Reason.Invalid);
  assert.equal(written(new Map([["deep", [deep]]]), 1000), Reason.Invalid);
  assert.deepEqual(all, new Set(["text", Reason.TooLarge]));
});
