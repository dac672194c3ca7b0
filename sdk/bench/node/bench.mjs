// One measure of one contestant as a line of JSON: `<contestant> <endpoint> <measure> <count>`.
// Run with --expose-gc; NODE_MODULES names the folder of the installed packages.
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { props } from "./event.mjs";

const batchEvents = 100;
const batchMs = 500;
const installed = (name) => createRequire(join(process.env.NODE_MODULES, "x.js"))(name);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const tidegate = async (endpoint, more) => {
  const { init } = await import(new URL("../../js/dist/node.mjs", import.meta.url));
  const client = init({
    key: "wk_bench",
    endpoint,
    batchEventsMax: batchEvents,
    batchMs,
    queueBytesMax: 64 << 20,
    ...more,
  });
  return {
    track: (at) => client.track("bench.event", props(at)),
    close: async () => {
      if (!(await client.close(60000))) throw new Error(JSON.stringify(client.stats()));
    },
  };
};

const posthog = async (host, more) => {
  const { PostHog } = installed("posthog-node");
  const client = new PostHog("phc_bench", {
    host,
    flushAt: batchEvents,
    maxBatchSize: batchEvents,
    flushInterval: batchMs,
    maxQueueSize: 1_000_000,
    ...more,
  });
  return {
    track: (at) =>
      client.capture({ distinctId: "u-1234567", event: "bench.event", properties: props(at) }),
    close: () => client.shutdown(60000),
  };
};

const segment = async (host) => {
  const { Analytics } = installed("@segment/analytics-node");
  const client = new Analytics({
    writeKey: "bench",
    host,
    flushAt: batchEvents,
    flushInterval: batchMs,
  });
  return {
    track: (at) =>
      client.track({ userId: "u-1234567", event: "bench.event", properties: props(at) }),
    close: () => client.closeAndFlush({ timeout: 60000 }),
  };
};

const contestants = {
  tidegate: (endpoint) => tidegate(endpoint),
  "tidegate plain": (endpoint) => tidegate(endpoint, { gzipBytesMin: Number.MAX_SAFE_INTEGER }),
  "tidegate store": (endpoint) =>
    tidegate(endpoint, { storeDir: mkdtempSync(join(tmpdir(), "bench-")) }),
  posthog: (endpoint) => posthog(endpoint, { disableCompression: true }),
  "posthog gzip": (endpoint) => posthog(endpoint),
  segment,
};

const resident = () => +readFileSync("/proc/self/statm", "ascii").split(" ")[1] * 4096;
const live = () => {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

const measures = {
  // On the caller's thread: 20 calls, a pause of 2 ms, and so on.
  async track({ track, close }, count) {
    const warm = count / 10;
    const took = [];
    for (let at = 0; at < count + warm; at++) {
      const began = process.hrtime.bigint();
      track(at);
      const ns = Number(process.hrtime.bigint() - began);
      if (at >= warm) took.push(ns);
      if (at % 20 === 19) await pause(2);
    }
    await close();
    took.sort((a, b) => a - b);
    return { p50_ns: took[count >> 1], p99_ns: took[(count * 0.99) | 0], max_ns: took.at(-1) };
  },
  // What events cost while nobody takes them.
  async memory({ track }, count) {
    const [heap, rss] = [live(), resident()];
    for (let at = 0; at < count; at++) {
      track(at);
      if (at % 1000 === 999) await pause(20);
    }
    await pause(1000);
    return { heap_bytes: live() - heap, rss_bytes: resident() - rss };
  },
  // From the first call to the last reply; the event loop gets a turn after every 100 calls.
  async throughput({ track, close }, count) {
    for (let at = 0; at < count / 10; at++) track(at);
    await pause(2 * batchMs);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    for (let at = 0; at < count; at++) {
      track(at);
      if (at % 100 === 99) await new Promise(setImmediate);
    }
    await close();
    const took = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    return {
      events_per_s: (count / took) * 1000,
      cpu_ns_an_event: ((user + system) / count) * 1000,
    };
  },
};

const [name, endpoint, what, count] = process.argv.slice(2);
const found = await measures[what](await contestants[name](endpoint), +count);
console.log(JSON.stringify(found));
process.exit(0);
