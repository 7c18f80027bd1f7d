/** The element of a view: the canvas of the chart, and the texts over it. */

import type { IChartApi } from "lightweight-charts";
import { GoneLine } from "../gone";
import { Bar, type BarActions } from "./bar";
import { Card } from "./card";

export class Frame {
  readonly root = part("div", "botlib botlib-chart");
  /** The element in which the library draws. */
  readonly canvas = part("div", "bl-canvas");
  readonly #utc = part("div", "bl-utc", "UTC");
  readonly #loading = part("div", "bl-hint bl-loading");
  readonly #empty = part("div", "bl-hint bl-empty", "no candles yet");
  readonly #notice = part("div", "bl-hint bl-notice");
  readonly #back = part("button", "bl-back", "latest »");
  readonly gone = new GoneLine();
  readonly card = new Card();
  readonly bar: Bar;
  #px = 0;

  constructor(el: HTMLElement, back: () => void, actions: BarActions) {
    this.bar = new Bar(actions);
    this.loading = "";
    this.away = false;
    this.#back.addEventListener("click", back);
    this.notice = "";
    const over = [this.#utc, this.#loading, this.#empty, this.#notice, this.#back];
    this.root.append(this.bar.element, this.canvas, ...over, this.card.element, this.gone.element);
    el.append(this.root);
    this.root.addEventListener("fullscreenchange", () => this.#fit());
  }

  set height(px: number) {
    this.#px = px;
    this.#fit();
  }

  /** Fill the screen, or end that. */
  fullScreen(): void {
    if (this.#full) void this.root.ownerDocument.exitFullscreen();
    else void this.root.requestFullscreen();
  }

  get #full(): boolean {
    return this.root.ownerDocument.fullscreenElement === this.root;
  }

  #fit(): void {
    this.root.style.height = this.#full ? "100vh" : `${this.#px}px`;
    this.bar.full = this.#full;
  }

  /** A text at the left end while older candles are loaded; empty to hide it. */
  set loading(text: string) {
    this.#loading.textContent = text;
    this.#loading.hidden = text === "";
  }

  set empty(now: boolean) {
    this.#empty.hidden = !now;
  }

  /** A text of the kernel over the chart; empty to hide it. */
  set notice(text: string) {
    this.#notice.textContent = text;
    this.#notice.hidden = text === "";
  }

  /** Whether the view is scrolled away from the latest candle, which shows the way back. */
  set away(now: boolean) {
    this.#back.hidden = !now;
  }

  /** Set the data attributes that tests and other scripts read. */
  tell(facts: Record<string, string | number>): void {
    for (const [name, value] of Object.entries(facts)) this.root.dataset[name] = String(value);
  }

  /** Position the texts at their axes. */
  place(chart: IChartApi): void {
    const width = chart.priceScale("right").width();
    const height = chart.timeScale().height();
    this.#utc.style.width = `${width}px`;
    this.#utc.style.height = `${height}px`;
    this.#notice.style.bottom = `${height + 8}px`;
    this.gone.element.style.bottom = `${height}px`;
    this.#back.style.right = `${width + 8}px`;
    this.#back.style.bottom = `${height + 8}px`;
  }
}

function part(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
