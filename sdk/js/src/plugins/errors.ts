/** Optional plug-in: uncaught errors and rejections as `error` events of class 0. @module */
import type { Client } from "../types.js";

/** Options of `errors`. */
export interface ErrorsOptions {
  /** The event's type. */
  type?: string;
  /** At most so many per page. */
  most?: number;
}

/** Watches the page until the returned function is called. */
export function errors(client: Client, options: ErrorsOptions = {}): () => void {
  const { type = "error", most = 20 } = options;
  const control = new AbortController();
  let left = most;
  const tell = (kind: string, thrown: any, more: object = {}) => {
    if (left-- <= 0) return;
    let message = "?";
    try {
      message = String(thrown?.message ?? thrown).slice(0, 1000);
    } catch {}
    const stack = typeof thrown?.stack === "string" ? thrown.stack.slice(0, 8000) : undefined;
    client.track(type, { kind, message, stack, ...more }, { class: 0 });
  };
  const { signal } = control;
  addEventListener(
    "error",
    (e) =>
      tell("error", e.error ?? e.message, { file: e.filename, line: e.lineno, column: e.colno }),
    { signal },
  );
  addEventListener("unhandledrejection", (e) => tell("rejection", e.reason), { signal });
  return () => control.abort();
}
