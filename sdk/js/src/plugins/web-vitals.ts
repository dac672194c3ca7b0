/** Optional plug-in: LCP, CLS, INP, FCP and TTFB as one `web-vitals` event when the page is hidden. @module */
import type { Client } from "../types.js";

/** Options of `webVitals`. */
export interface WebVitalsOptions {
  /** The event's type. */
  type?: string;
}

/** Watches the page; tells once, when it is hidden for the first time. */
export function webVitals(client: Client, options: WebVitalsOptions = {}): () => void {
  const vitals: Record<string, number> = {};
  const observers: PerformanceObserver[] = [];
  const watch = (type: string, f: (entry: any) => void, more: object = {}) => {
    try {
      const observer = new PerformanceObserver((list) => list.getEntries().forEach(f));
      observer.observe({ type, buffered: true, ...more });
      observers.push(observer);
    } catch {}
  };
  const round = (n: number) => Math.round(n * 1000) / 1000;
  let sum = 0;
  let first = 0;
  let last = 0;
  watch("largest-contentful-paint", (e) => (vitals.lcp = round(e.startTime)));
  watch("paint", (e) => {
    if (e.name === "first-contentful-paint") vitals.fcp = round(e.startTime);
  });
  // The largest session window: shifts less than 1 s apart, 5 s at most.
  watch("layout-shift", (e) => {
    if (e.hadRecentInput) return;
    if (e.startTime - last > 1000 || e.startTime - first > 5000) {
      sum = 0;
      first = e.startTime;
    }
    last = e.startTime;
    sum += e.value;
    vitals.cls = round(Math.max(vitals.cls || 0, sum));
  });
  watch(
    "event",
    (e) => {
      if (e.interactionId) vitals.inp = Math.max(vitals.inp || 0, e.duration);
    },
    { durationThreshold: 40 },
  );
  watch("navigation", (e) => (vitals.ttfb = round(e.responseStart)));
  const control = new AbortController();
  const stop = () => {
    control.abort();
    for (const observer of observers) observer.disconnect();
  };
  // Before the client's own listener, which is on the document's capture phase: on the window.
  addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState !== "hidden") return;
      client.track(options.type ?? "web-vitals", vitals);
      stop();
    },
    { capture: true, signal: control.signal },
  );
  return stop;
}
