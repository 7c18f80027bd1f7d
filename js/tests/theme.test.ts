import assert from "node:assert/strict";
import { test } from "node:test";
import { DARK, LIGHT, pageIsDark, paletteOf } from "../src/theme";

/** The part of a page that the theme reads. */
function page(options: {
  jupyter?: string;
  code?: string;
  colab?: string;
  system?: boolean;
}): Document {
  const dataset: Record<string, string> = {};
  if (options.jupyter !== undefined) dataset.jpThemeLight = options.jupyter;
  if (options.code !== undefined) dataset.vscodeThemeKind = options.code;
  return {
    body: { dataset },
    documentElement: { getAttribute: () => options.colab ?? null },
    defaultView: { matchMedia: () => ({ matches: options.system ?? false }) },
  } as unknown as Document;
}

test("JupyterLab's own theme comes first", () => {
  assert.equal(pageIsDark(page({ jupyter: "false", system: false })), true);
  assert.equal(pageIsDark(page({ jupyter: "true", system: true })), false);
});

test("VS Code, Colab and the operating system follow", () => {
  assert.equal(pageIsDark(page({ code: "vscode-dark" })), true);
  assert.equal(pageIsDark(page({ code: "vscode-high-contrast" })), true);
  assert.equal(pageIsDark(page({ code: "vscode-light", system: true })), false);
  assert.equal(pageIsDark(page({ colab: "dark" })), true);
  assert.equal(pageIsDark(page({ colab: "light", system: true })), false);
  assert.equal(pageIsDark(page({ system: true })), true);
  assert.equal(pageIsDark(page({})), false);
});

test("a theme chosen by name overrides the page's", () => {
  assert.equal(paletteOf("dark", page({ jupyter: "true" })), DARK);
  assert.equal(paletteOf("light", page({ jupyter: "false" })), LIGHT);
});
