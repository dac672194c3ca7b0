import { init } from "tidegate";
import { props } from "../node/event.mjs";

/** A contestant's `track`, once all of it is loaded. */
export async function start(endpoint, keeps) {
  const client = init({
    key: "wk_bench",
    endpoint,
    store: keeps,
    batchEventsMax: 100,
    batchMs: 500,
    queueBytesMax: 64 << 20,
    ratePerS: 100_000,
    rateBurst: 100_000,
  });
  client.track("bench.first");
  await client.flush(2000);
  return (at) => client.track("bench.event", props(at));
}
