// Builds `dist`: ESM and CJS for Node and for bundlers, scripts for pages, the plug-ins, types.
// With `--tests FOLDER` it builds tests and adapters there instead; with `--sizes` it prints what each
// module takes of the core that was built.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const shared = { bundle: true, target: "es2022", logLevel: "warning", legalComments: "none" };
const node = { ...shared, platform: "node", target: "node18", define: { PAGE: "false" } };

// Internal members begin with an underscore; their names are no part of the interface. The two files
// of pages share their state, so they share the short names as well.
const names = {};
const page = async (entry, outfile, more) => {
  const { mangleCache } = await build({
    ...shared,
    platform: "browser",
    define: { PAGE: "true" },
    minify: true,
    mangleProps: /^_[a-z]/,
    mangleCache: names,
    entryPoints: [entry],
    outfile,
    ...more,
  });
  Object.assign(names, mangleCache);
  // Once more, by one that puts functions that are called once into their place.
  const { code } = await minify(readFileSync(outfile, "utf8"), {
    module: more.format === "esm",
    toplevel: more.format === "esm",
    compress: { passes: 3, ecma: 2020 },
    format: { ecma: 2020 },
  });
  writeFileSync(outfile, code);
};
const second = {
  name: "second",
  setup: ({ onResolve }) =>
    onResolve({ filter: /web\/second\.js$/ }, () => ({ path: "./web-more.mjs", external: true })),
};
const esm = { format: "esm" };
const iife = (globalName) => ({ format: "iife", globalName });

/** Gzipped bytes, shared out by what is left of each module when it is minified. */
async function sizes() {
  const { metafile } = await build({
    ...shared,
    platform: "browser",
    define: { PAGE: "true" },
    minify: true,
    mangleProps: /^_[a-z]/,
    entryPoints: ["src/web.ts"],
    outfile: "sizes.mjs",
    plugins: [second],
    ...esm,
    metafile: true,
    write: false,
  });
  const core = gzipSync(readFileSync("dist/web.mjs"), { level: 9 }).length;
  const parts = Object.entries(Object.values(metafile.outputs)[0].inputs)
    .map(([name, { bytesInOutput }]) => [name, bytesInOutput])
    .filter(([, n]) => n)
    .sort((a, b) => b[1] - a[1]);
  const all = parts.reduce((sum, [, n]) => sum + n, 0);
  for (const [name, n] of parts)
    console.log(`${String(Math.round((n * core) / all)).padStart(6)}  ${name}`);
  console.log(`${String(core).padStart(6)}  together`);
}

const at = process.argv.indexOf("--tests");
if (at > 0) {
  const out = process.argv[at + 1];
  mkdirSync(out, { recursive: true });
  const tests = readdirSync("tests").filter((name) => /\.test\.ts$|^fake\.ts$/.test(name));
  await build({
    ...node,
    entryPoints: [...tests.map((name) => `tests/${name}`), "adapter/node.ts", "adapter/web.ts"],
    outdir: out,
    outbase: ".",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    external: ["playwright-core"],
    sourcemap: "inline",
  });
  await page("adapter/page.ts", `${out}/adapter/page.js`, { format: "iife" });
} else if (process.argv.includes("--sizes")) {
  await sizes();
} else {
  rmSync("dist", { recursive: true, force: true });
  await build({ ...node, entryPoints: ["src/node.ts"], outfile: "dist/node.mjs", format: "esm" });
  await build({ ...node, entryPoints: ["src/node.ts"], outfile: "dist/node.cjs", format: "cjs" });
  // The core comes first, so that it gets the shortest names.
  await page("src/web.ts", "dist/web.mjs", { ...esm, plugins: [second] });
  await page("src/script.ts", "dist/tidegate.js", { format: "iife" });
  await page("src/web/second.ts", "dist/web-more.mjs", esm);
  await page("src/web/second.ts", "dist/tidegate-more.js", iife("tidegate_more"));
  await page("src/script-all.ts", "dist/tidegate-all.js", { format: "iife" });
  await page("src/web-all.ts", "dist/web-all.mjs", esm);
  await page("src/web-all.ts", "dist/web-all.cjs", { format: "cjs" });
  for (const name of ["web-vitals", "errors"]) {
    await page(`src/plugins/${name}.ts`, `dist/${name}.mjs`, esm);
    await page(
      `src/plugins/${name}.ts`,
      `dist/${name}.js`,
      iife(`tidegate_${name.replace("-", "_")}`),
    );
  }
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"]);
  // The same types for `require`: a folder of CommonJS.
  mkdirSync("dist/types-cjs", { recursive: true });
  execFileSync("cp", ["-r", "dist/types/.", "dist/types-cjs/"]);
  writeFileSync("dist/types-cjs/package.json", '{"type":"commonjs"}\n');
}
