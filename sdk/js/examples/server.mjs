// A server's events: kept on disk, told about, flushed at the end.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { init } from "../dist/node.mjs";

const client = init({
  key: "wk_demo",
  endpoint: process.env.TIDEGATE_ENDPOINT ?? "http://127.0.0.1:8080",
  storeDir: mkdtempSync(join(tmpdir(), "tidegate-example-")),
  context: { service: "shop", version: "1.4.2" },
  onDrop: (reason, class_, count) => console.error(`${count} of class ${class_}: ${reason}`),
});

client.track("order.paid", { order: 4711, total: 19.9 }, { class: 0 });
client.track("page.view", { path: "/cart" });
client.track("cache.hit", { key: "a" }, { class: 2 });

const complete = await client.close();
const { tracked, acked } = client.stats();
console.log(`complete: ${complete}, tracked ${tracked}, acknowledged ${acked}`);
process.exitCode = complete && acked === 3 ? 0 : 1;
