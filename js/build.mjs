/** Bundle the pages into botlib/widgets/static, or the unit tests into build/tests. */

import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, context } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const outdir = join(root, "botlib", "widgets", "static");
const mode = process.argv[2] ?? "";

const pages = {
  entryPoints: ["chart", "dashboard"].map((name) => join(here, "src", `${name}.ts`)),
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "eof",
  charset: "utf8",
  logLevel: "warning",
};

const found = (folder) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join(folder, name));

const tests = () => ({
  entryPoints: found(join(here, "tests")),
  outdir: join(here, "build", "tests"),
  entryNames: "[dir]-[name]",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node18",
  sourcemap: "inline",
  loader: { ".css": "empty" },
  logLevel: "warning",
});

if (mode === "--watch") {
  await (await context({ ...pages, minify: false, sourcemap: "inline" })).watch();
} else if (mode === "--tests") {
  rmSync(join(here, "build"), { recursive: true, force: true });
  await build(tests());
} else {
  await build(pages);
  copyFileSync(join(root, "NOTICE"), join(outdir, "NOTICE"));
  for (const name of ["lightweight-charts.txt", "fancy-canvas.txt"]) {
    copyFileSync(join(root, "licenses", name), join(outdir, `LICENSE.${name}`));
  }
}
