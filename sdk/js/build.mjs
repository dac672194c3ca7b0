// Builds `dist`: ESM and CJS for Node and for bundlers, a script for pages, the plug-ins, types.
// With `--tests FOLDER` it builds tests and adapters there instead.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const shared = { bundle: true, target: "es2022", logLevel: "warning", legalComments: "none" };
const node = { ...shared, platform: "node", target: "node18" };
// Internal members begin with an underscore; their names are no part of the interface.
const mangle = { mangleProps: /^_[a-z]/, mangleCache: undefined };
const page = { ...shared, platform: "browser", minify: true, ...mangle };

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
  await build({
    ...page,
    entryPoints: ["adapter/page.ts"],
    outfile: `${out}/adapter/page.js`,
    format: "iife",
  });
} else {
  rmSync("dist", { recursive: true, force: true });
  await Promise.all([
    build({ ...node, entryPoints: ["src/node.ts"], outfile: "dist/node.mjs", format: "esm" }),
    build({ ...node, entryPoints: ["src/node.ts"], outfile: "dist/node.cjs", format: "cjs" }),
    build({ ...page, entryPoints: ["src/web.ts"], outfile: "dist/web.mjs", format: "esm" }),
    build({ ...page, entryPoints: ["src/web.ts"], outfile: "dist/web.cjs", format: "cjs" }),
    build({ ...page, entryPoints: ["src/script.ts"], outfile: "dist/tidegate.js", format: "iife" }),
    ...["web-vitals", "errors"].flatMap((name) => [
      build({
        ...page,
        entryPoints: [`src/plugins/${name}.ts`],
        outfile: `dist/${name}.mjs`,
        format: "esm",
      }),
      build({
        ...page,
        entryPoints: [`src/plugins/${name}.ts`],
        outfile: `dist/${name}.js`,
        format: "iife",
        globalName: `tidegate_${name.replace("-", "_")}`,
      }),
    ]),
  ]);
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"]);
  // The same types for `require`: a folder of CommonJS.
  mkdirSync("dist/types-cjs", { recursive: true });
  execFileSync("cp", ["-r", "dist/types/.", "dist/types-cjs/"]);
  writeFileSync("dist/types-cjs/package.json", '{"type":"commonjs"}\n');
}
