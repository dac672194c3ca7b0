/** Virtual time, and the count of what the SDK has begun and not ended (adapter.md, sections 1-2). */
import type { Platform, Store } from "../src/platform.js";
import { SplitMix64 } from "./vec.js";

interface Timer {
  at: number;
  order: number;
  run: () => void;
}

export class World {
  mono = 0;
  wall = 0;
  virtual = true;
  http = 0;
  begun = 0;
  warnings = 0;
  /** Work under way: compression, store. */
  work = 0;
  private order = 0;
  timers: Timer[] = [];
  points = new Map<string, number>();
  kill: () => void = () => {};
  /** Pause between looks for idleness. */
  turn: () => Promise<void> = () => new Promise((resolve) => setTimeout(resolve, 0));

  timer(ms: number, run: () => void): () => void {
    const t = { at: this.mono + ms, order: this.order++, run };
    this.timers.push(t);
    return () => {
      this.timers = this.timers.filter((other) => other !== t);
    };
  }

  private first(): number {
    return this.timers.reduce((least, t) => Math.min(least, t.at), Infinity);
  }

  advance(ms: number): number {
    const moved = Math.max(0, Math.min(ms, this.first() - this.mono));
    this.mono += moved;
    this.wall += moved;
    const due = this.timers
      .filter((t) => t.at <= this.mono)
      .sort((a, b) => a.at - b.at || a.order - b.order);
    for (const t of due) {
      if (!this.timers.includes(t)) continue;
      this.timers = this.timers.filter((other) => other !== t);
      t.run();
    }
    return moved;
  }

  pulse() {
    const next = this.first();
    return {
      http: this.http,
      begun: this.begun,
      timer_ms: next === Infinity ? null : Math.max(0, next - this.mono),
    };
  }

  /** Waits until nothing of the SDK can go on by itself. */
  async idle(): Promise<void> {
    const until = Date.now() + 10_000;
    let quiet = 0;
    while (quiet < 3 && Date.now() < until) {
      await this.turn();
      quiet = this.work ? 0 : quiet + 1;
    }
  }

  /** Counts the callback's work until it was called. */
  counted<A extends unknown[]>(f: (...args: A) => void): (...args: A) => void {
    this.work++;
    let over = false;
    return (...args) => {
      try {
        f(...args);
      } finally {
        if (!over) this.work--;
        over = true;
      }
    };
  }

  point = (name: string): void => {
    const left = this.points.get(name);
    if (!left) return;
    this.points.set(name, left - 1);
    if (left === 1) this.kill();
  };

  /** The real platform with this clock, these random numbers, and everything counted. */
  wrap(real: Platform, seed: string): Platform {
    const jitter = new SplitMix64(BigInt(seed));
    const ids = new SplitMix64(BigInt(seed) + 1n);
    const clock: Partial<Platform> = this.virtual
      ? {
          _mono: () => this.mono,
          _wall: () => this.wall,
          _unit: () => jitter.unit(),
          _u64: () => ids.next(),
          _timer: (ms, f) => this.timer(ms, f),
        }
      : {};
    const store = real._store;
    return {
      ...real,
      ...clock,
      _http: (request, done) => {
        this.http++;
        this.begun++;
        let over = false;
        const end = () => {
          if (!over) this.http--;
          over = true;
        };
        const abort = real._http(request, (reply) => {
          if (over) return;
          // The continuation first, so that nothing looks idle between.
          done(reply);
          end();
        });
        return () => {
          end();
          abort();
        };
      },
      _gzip: (bytes, done) => real._gzip(bytes, this.counted(done)),
      _store: store && this.wrapStore(store),
      _warn: (text) => {
        this.warnings++;
        real._warn(text);
      },
      _point: this.point,
    };
  }

  private wrapStore(store: Store): Store {
    return {
      ...store,
      _set: (name, text) =>
        store._set(
          name,
          text,
          this.counted(() => {}),
        ),
      _open: (id, done) => store._open(id, this.counted(done)),
      _claim: (found, done) => store._claim(found, this.counted(done)),
      _put: (queue, entries, most, done) => store._put(queue, entries, most, this.counted(done)),
      _drop: (queue, done) => store._drop(queue, this.counted(done)),
    };
  }
}
