/** Every vector of the contract. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { knows, vec } from "../adapter/vec.js";

const folder = join(process.env.TIDEGATE_CONTRACT || "../contract", "vectors");

for (const name of readdirSync(folder).filter((file) => file.endsWith(".json"))) {
  const { functions } = JSON.parse(readFileSync(join(folder, name), "utf8"));
  for (const f of functions) {
    // The gateway's own function.
    if (f.function === "effective_ms") continue;
    test(`vectors: ${f.function}, ${f.cases.length} cases`, () => {
      assert(knows(f.function), "unknown function");
      for (const c of f.cases) {
        const out = vec(f.function, c.in);
        const plain = out === undefined ? out : JSON.parse(JSON.stringify(out));
        if (c.out?.lines && plain?.lines)
          assert(c.out.lines.includes(plain.lines[0]), `${c.name}: ${plain.lines[0]}`);
        else assert.deepEqual(plain, c.out, c.name);
      }
    });
  }
}
