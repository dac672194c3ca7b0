/** The exit hook (R132): writes what is not in the store, synchronously. No signal handlers. */
import { spill } from "../more/persist.js";
import type { State } from "../state.js";

const clients = new Set<WeakRef<State>>();

function onExit(): void {
  for (const ref of clients) {
    const s = ref.deref();
    if (s && !s._stopped) spill(s);
  }
}

/** Remembers a client until its end; it is not kept from being collected (R134). */
export function atExit(s: State): () => void {
  const ref = new WeakRef(s);
  if (!clients.size) process.on("exit", onExit);
  clients.add(ref);
  return () => {
    clients.delete(ref);
    if (!clients.size) process.off("exit", onExit);
  };
}
