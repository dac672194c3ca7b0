import { AnalyticsBrowser } from "@segment/analytics-next";
import { props } from "../node/event.mjs";

export async function start(endpoint, keeps) {
  const settings = {
    apiKey: "bench",
    apiHost: `${new URL(endpoint).host}/v1`,
    protocol: "http",
    deliveryStrategy: { strategy: "batching", config: { size: 100, timeout: 500 } },
  };
  const [client] = await AnalyticsBrowser.load(
    { writeKey: "bench", cdnSettings: { integrations: { "Segment.io": settings } } },
    { disableClientPersistence: !keeps },
  );
  return (at) => client.track("bench.event", props(at));
}
