/** The operations that are alike in Node and in pages (adapter.md, section 3). */
import { create } from "../src/client.js";
import { more } from "../src/more/index.js";
import type { Platform } from "../src/platform.js";
import type { State } from "../src/state.js";
import type { Client } from "../src/types.js";
import { odd } from "./odd.js";
import { camel, keys, knows, snake, vec } from "./vec.js";
import type { World } from "./virtual.js";

interface Held {
  client: Client;
  state: State;
  drops: Map<string, number>;
}

export interface Environment {
  world: World;
  /** What `hello` says. */
  who: { sdk: string; profile: string; caps: string[]; missing: Record<string, string> };
  platform(options: any, store: string | undefined): Platform;
  /** Operations of this environment alone; undefined if it has none of that name. */
  more(message: any, held: Map<string, Held>): Promise<any> | undefined;
  started?(state: State): void;
}

const HOOKS: Record<string, (client: () => Client) => (event: any) => any> = {
  drop: () => () => null,
  throw: () => () => {
    throw new Error("hook");
  },
  change: () => (event) => ({ ...event, props: { ...event.props, touched: true } }),
  demote: () => (event) => ({ ...event, class: 2 }),
  garbage: () => () => 5,
  reenter: (client) => (event) => {
    client().track("inner");
    return event;
  },
  bad_type: () => (event) => ({ ...event, type: "a b" }),
};

export const statsOf = (stats: any): any => ({
  ...keys(stats, snake),
  older: stats.older,
});

class Threw extends Error {}

const guarded = <T>(f: () => T): T => {
  try {
    return f();
  } catch (thrown) {
    throw new Threw(`${thrown}`);
  }
};

/** Answers one message after the other. */
export function operator(env: Environment): (message: any) => Promise<any> {
  const { world } = env;
  const held = new Map<string, Held>();
  const calls: { done: boolean; result: boolean | null; from: number; took: number }[] = [];

  const begin = (promise: Promise<boolean>) => {
    const call = { done: false, result: null as boolean | null, from: world.mono, took: 0 };
    promise.then((result) =>
      Object.assign(call, { done: true, result, took: world.mono - call.from }),
    );
    return { call: calls.push(call) - 1 };
  };

  const init = (m: any) => {
    const drops = new Map<string, number>();
    const options: any = keys(m.options || {}, camel);
    let made: Client;
    options.onDrop = (reason: string, class_: number, n: number) => {
      const key = `${reason} ${class_}`;
      drops.set(key, (drops.get(key) || 0) + n);
      if (m.on_drop === "throw") throw new Error("hook");
      if (m.on_drop === "reenter") made.track("inner");
    };
    if (m.before_send) options.beforeSend = HOOKS[m.before_send](() => made);
    let result: [Client, State];
    try {
      const real = env.platform(options, m.store || undefined);
      result = create(options, world.wrap(real, m.seed ?? "42"), more);
    } catch (thrown) {
      if (thrown instanceof TypeError) return { refused: thrown.message };
      throw thrown;
    }
    made = result[0];
    held.set(m.client || "a", { client: made, state: result[1], drops });
    env.started?.(result[1]);
    return { refused: null };
  };

  const run = async (m: any): Promise<any> => {
    const one = held.get(m.client || "a")!;
    switch (m.op) {
      case "hello":
        world.virtual = m.clock !== "real";
        world.mono = m.mono_ms || 0;
        world.wall = m.wall_ms || 0;
        return { contract: 1, ...env.who };
      case "init":
        return init(m);
      case "track": {
        let us = 0;
        const options = m.class == null ? undefined : { class: m.class };
        for (let i = 0; i < (m.count ?? 1); i++) {
          const props = m.marker == null ? m.props : { ...m.props, n: m.marker + i };
          const from = performance.now();
          guarded(() => one.client.track(m.type, props, options));
          us = Math.max(us, (performance.now() - from) * 1000);
        }
        return { us: Math.ceil(us) };
      }
      case "odd": {
        const args = odd(m.what);
        if (!args) return { $unsupported: `no input called ${m.what}` };
        const [type, props, class_ = m.class] = args;
        if (m.marker != null && props && typeof props === "object" && !Array.isArray(props))
          props.n = m.marker;
        guarded(() => one.client.track(type, props, { class: class_ }));
        if (m.what === "mutated") props.v = 2;
        return {};
      }
      case "advance":
        return { moved_ms: world.advance(m.ms) };
      case "settle":
        return {};
      case "wall":
        world.wall = m.to_ms ?? world.wall + m.by_ms;
        return {};
      case "suspend":
        world.mono += m.mono_ms;
        world.wall += m.wall_ms;
        return {};
      case "flush":
        return begin(guarded(() => one.client.flush(m.timeout_ms)));
      case "close":
        return begin(guarded(() => one.client.close(m.timeout_ms)));
      case "call": {
        const { done, result, took } = calls[m.call];
        return { done, result, took_ms: took };
      }
      case "opt_out":
        guarded(() => one.client.optOut());
        return {};
      case "opt_in":
        guarded(() => one.client.optIn());
        return {};
      case "stats":
        return { stats: statsOf(guarded(() => one.client.stats())) };
      case "drops":
        return {
          drops: [...one.drops].sort().map(([key, n]) => {
            const [reason, class_] = key.split(" ");
            return [reason, +class_, n];
          }),
        };
      case "logs":
        return { warnings: world.warnings };
      case "crash_at":
        world.points.set(m.point, m.nth ?? 1);
        return {};
      case "vec":
        return knows(m.function)
          ? { out: vec(m.function, m.in) }
          : { $unsupported: `${m.function} is the gateway's` };
      case "net":
        if (!env.who.caps.includes("net")) break;
        for (const { state } of held.values()) more._online(state, !m.offline);
        return {};
    }
    return (await env.more(m, held)) ?? { $unsupported: `no operation ${m.op}` };
  };

  return async (m) => {
    try {
      const v = await run(m);
      await world.idle();
      if (v.$unsupported) return { id: m.id, ok: false, unsupported: v.$unsupported };
      return { id: m.id, ok: true, v: { ...v, ...world.pulse() } };
    } catch (thrown: any) {
      if (thrown instanceof Threw) return { id: m.id, ok: false, threw: thrown.message };
      return { id: m.id, ok: false, error: `${thrown?.stack || thrown}` };
    }
  };
}
