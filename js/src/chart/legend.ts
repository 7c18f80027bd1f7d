/** The legend over the panes: names of the series, and their values at the crosshair. */

import { number, percent } from "../format";
import type { Palette } from "../theme";
import { partsOf, type Spec } from "./protocol";
import type { ShownSeries } from "./series";
import type { CandleWindow } from "./window";

const TAGS = { repaired: "repaired", missing: "missing" } as const;

/** One value that changes: written only if it differs, since a write costs a layout. */
class Cell {
  readonly element = document.createElement("span");

  constructor(className: string, parent: HTMLElement) {
    this.element.className = className;
    parent.append(this.element);
  }

  write(text: string, colour = ""): void {
    if (this.element.textContent !== text) this.element.textContent = text;
    if (this.element.dataset.colour !== colour) {
      this.element.dataset.colour = colour;
      this.element.style.color = colour;
    }
  }
}

function labelled(parent: HTMLElement, label: string, tag = "span"): Cell {
  const pair = document.createElement(tag);
  pair.className = "bl-pair";
  const name = document.createElement("span");
  name.className = "bl-name";
  name.textContent = label;
  pair.append(name);
  parent.append(pair);
  return new Cell("bl-value", pair);
}

export class Legend {
  readonly panes: HTMLElement[] = [];
  #candle: Cell[] = [];
  #change: Cell | undefined;
  #tag: Cell | undefined;
  #values: { series: ShownSeries; cell: Cell }[] = [];

  /**
   * Add the lines of the legend to `root`, one block per pane. The name of a series is a button that
   * hides or shows it: `toggled` is called with its id.
   */
  constructor(
    root: HTMLElement,
    private readonly spec: Spec,
    shown: ShownSeries[],
    private readonly toggled: (id: string) => void,
  ) {
    for (const series of shown) {
      const pane = this.#pane(root, series.spec.pane);
      if (series.spec.kind === "candles") this.#head(pane);
      else {
        const line = pane.querySelector<HTMLElement>(".bl-values") ?? pane;
        const [study, part] = partsOf(series.spec.title);
        const first = part === study ? study : series.spec.title;
        const label = part !== "" && study === line.dataset.study ? part : first;
        line.dataset.study = study;
        this.#values.push({ series, cell: this.#entry(line, label, series) });
      }
    }
  }

  remove(): void {
    for (const pane of this.panes) pane.remove();
  }

  /** Show which series are hidden. */
  mark(hidden: ReadonlySet<string>): void {
    for (const { series, cell } of this.#values) {
      const pressed = String(!hidden.has(series.spec.id));
      cell.element.parentElement?.setAttribute("aria-pressed", pressed);
    }
  }

  /** Show the values of a row; `tag` marks a candle that was repaired or is missing. */
  show(rows: CandleWindow, row: number, palette: Palette, tag?: keyof typeof TAGS): void {
    if (row < 0 || row >= rows.length) return;
    const open = rows.value(1, row);
    const close = rows.value(4, row);
    const colour = close < open ? palette.down : palette.up;
    this.#candle.forEach((cell, index) => {
      cell.write(number(rows.value(index + 1, row), this.spec.price_decimals), colour);
    });
    const before = row > 0 ? rows.value(4, row - 1) : Number.NaN;
    const change = close / (Number.isFinite(before) ? before : open) - 1;
    this.#change?.write(percent(change, 2, true), change < 0 ? palette.down : palette.up);
    this.#tag?.write(tag === undefined ? "" : TAGS[tag], palette.warn);
    for (const { series, cell } of this.#values) {
      const value = series.value(rows, row);
      cell.write(series.text(value), series.colour(value));
    }
  }

  #pane(root: HTMLElement, index: number): HTMLElement {
    let pane = this.panes[index];
    if (pane === undefined) {
      pane = document.createElement("div");
      pane.className = "bl-legend";
      pane.dataset.pane = String(index);
      root.append(pane);
      this.panes[index] = pane;
    }
    return pane;
  }

  #entry(line: HTMLElement, label: string, series: ShownSeries): Cell {
    const cell = labelled(line, label, "button");
    const button = cell.element.parentElement as HTMLButtonElement;
    button.type = "button";
    button.title = `Hide or show ${series.spec.title}`;
    button.setAttribute("aria-pressed", "true");
    button.dataset.series = series.spec.id;
    button.addEventListener("click", () => this.toggled(series.spec.id));
    return cell;
  }

  #head(pane: HTMLElement): void {
    const candle = document.createElement("div");
    candle.className = "bl-ohlc";
    this.#candle = ["O", "H", "L", "C"].map((label) => labelled(candle, label));
    this.#change = new Cell("bl-value", candle);
    this.#tag = new Cell("bl-tag", candle);
    const values = document.createElement("div");
    values.className = "bl-values";
    pane.append(candle, values);
  }
}
