/** The element a view lives in: the chart's place, and the words over it. */

import type { IChartApi } from "lightweight-charts";

export class Frame {
  readonly root = part("div", "botlib botlib-chart");
  /** Where the library draws. */
  readonly canvas = part("div", "bl-canvas");
  readonly #utc = part("div", "bl-utc", "UTC");
  readonly #loading = part("div", "bl-hint bl-loading");
  readonly #empty = part("div", "bl-hint bl-empty", "no candles yet");
  readonly #notice = part("div", "bl-hint bl-notice");
  readonly #back = part("button", "bl-back", "latest »");

  constructor(el: HTMLElement, back: () => void) {
    this.loading = "";
    this.away = false;
    this.#back.addEventListener("click", back);
    this.notice = "";
    const over = [this.#utc, this.#loading, this.#empty, this.#notice, this.#back];
    this.root.append(this.canvas, ...over);
    el.append(this.root);
  }

  set height(px: number) {
    this.root.style.height = `${px}px`;
  }

  /** What is being waited for at the left end; nothing where it is empty. */
  set loading(text: string) {
    this.#loading.textContent = text;
    this.#loading.hidden = text === "";
  }

  set empty(now: boolean) {
    this.#empty.hidden = !now;
  }

  /** What the kernel has to say of the chart as a whole; nothing where it is empty. */
  set notice(text: string) {
    this.#notice.textContent = text;
    this.#notice.hidden = text === "";
  }

  /** Whether the reader is away from the latest candle, and may want to go back to it. */
  set away(now: boolean) {
    this.#back.hidden = !now;
  }

  /** Write what tests and other scripts may read of the view. */
  tell(facts: Record<string, string | number>): void {
    for (const [name, value] of Object.entries(facts)) this.root.dataset[name] = String(value);
  }

  /** Put the words at the axes they belong to. */
  place(chart: IChartApi): void {
    const width = chart.priceScale("right").width();
    const height = chart.timeScale().height();
    this.#utc.style.width = `${width}px`;
    this.#utc.style.height = `${height}px`;
    this.#notice.style.bottom = `${height + 8}px`;
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
