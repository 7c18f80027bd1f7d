/** The light and the dark palette, and the choice between them. */

export type Mode = "auto" | "light" | "dark";

export const LIGHT = {
  name: "light",
  bg: "#ffffff",
  panel: "#f6f7f9",
  text: "#1b2130",
  muted: "#697386",
  grid: "#eff1f5",
  border: "#dfe3ea",
  up: "#0a9a7b",
  down: "#e0434f",
  accent: "#2f6bff",
  warn: "#a86200",
  danger: "#c8102e",
  paper: "#4a6585",
  live: "#c8102e",
  hover: "#eceff4",
  label: "#47526a",
  entry: "#1f5fe0",
  exit: "#b04a00",
  stop: "#c8102e",
  target: "#0a7d63",
  repaired: "#f2b13426",
  missing: "#e0434f20",
};

export type Palette = typeof LIGHT;

export const DARK: Palette = {
  name: "dark",
  bg: "#11151c",
  panel: "#181d27",
  text: "#d7dce6",
  muted: "#8590a5",
  grid: "#1a202b",
  border: "#2a3240",
  up: "#2bb596",
  down: "#f0616b",
  accent: "#6f9bff",
  warn: "#e9a440",
  danger: "#ff5a67",
  paper: "#8fb0d6",
  live: "#ff3347",
  hover: "#212836",
  label: "#3c4658",
  entry: "#7fa8ff",
  exit: "#f2934e",
  stop: "#ff6b76",
  target: "#3fc9a9",
  repaired: "#f2b1342b",
  missing: "#f0616b2e",
};

/** Return whether the page is dark: JupyterLab, VS Code, Colab, then the operating system. */
export function pageIsDark(page: Document = document): boolean {
  const { body, documentElement: html } = page;
  const jupyter = body.dataset.jpThemeLight;
  if (jupyter !== undefined) return jupyter === "false";
  const code = body.dataset.vscodeThemeKind ?? "";
  if (code !== "") return code.includes("dark") || code === "vscode-high-contrast";
  const colab = html.getAttribute("theme");
  if (colab !== null) return colab === "dark";
  return page.defaultView?.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

export function paletteOf(mode: Mode, page: Document = document): Palette {
  const dark = mode === "auto" ? pageIsDark(page) : mode === "dark";
  return dark ? DARK : LIGHT;
}

/**
 * Set the palette on `root` as `--bl-*` variables and `data-theme`, now and whenever the page
 * changes its theme; `changed` is called with each palette. Call `apply` after the mode changed.
 */
export function followTheme(
  root: HTMLElement,
  mode: () => Mode,
  changed: (palette: Palette) => void = () => {},
): { apply: () => void; stop: () => void } {
  let shown: Palette | undefined;
  const apply = () => {
    const palette = paletteOf(mode(), root.ownerDocument);
    if (palette === shown) return;
    shown = palette;
    root.dataset.theme = palette.name;
    root.style.colorScheme = palette.name;
    for (const [name, colour] of Object.entries(palette)) {
      if (name !== "name") root.style.setProperty(`--bl-${name}`, colour);
    }
    changed(palette);
  };
  const page = root.ownerDocument;
  const observer = new MutationObserver(apply);
  observer.observe(page.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"],
  });
  observer.observe(page.documentElement, { attributes: true, attributeFilter: ["theme"] });
  const system = page.defaultView?.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener("change", apply);
  apply();
  return {
    apply,
    stop: () => {
      observer.disconnect();
      system?.removeEventListener("change", apply);
    },
  };
}
