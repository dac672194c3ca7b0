import posthog from "posthog-js";
import { props } from "../node/event.mjs";

/** As little as it goes: only `capture` and batches. */
export async function start(api_host, keeps) {
  posthog.init("phc_bench", {
    api_host,
    persistence: keeps ? "localStorage+cookie" : "memory",
    autocapture: false,
    capture_pageview: false,
    capture_pageleave: false,
    capture_performance: false,
    capture_dead_clicks: false,
    capture_heatmaps: false,
    capture_exceptions: false,
    disable_session_recording: true,
    disable_surveys: true,
    disable_external_dependency_loading: true,
    advanced_disable_flags: true,
    // Headless browsers count as bots, and ten events a second are the limit otherwise.
    opt_out_useragent_filter: true,
    rate_limiting: { events_per_second: 100_000, events_burst_limit: 1_000_000 },
    request_queue_config: { flush_interval_ms: 500 },
  });
  return (at) => posthog.capture("bench.event", props(at));
}
