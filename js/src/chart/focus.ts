/** The focus of a view: with it the wheel zooms and keys move, without it the page scrolls. */

import type { IChartApi } from "lightweight-charts";

/** Milliseconds for which the hint is shown, and how often in one page. */
const HINT = 1500;
const HINTS = 2;
let hints = 0;

const STEP = 0.1; // share of the visible candles that a key moves the chart by
const ZOOM = 1.25;

export class Focus {
  readonly #hint = document.createElement("div");
  #hiding: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly root: HTMLElement,
    private readonly chart: IChartApi,
  ) {
    root.tabIndex = 0;
    // JupyterLab would take the keys of the chart for its own.
    root.dataset.lmSuppressShortcuts = "true";
    this.#hint.className = "bl-hint bl-wheel";
    this.#hint.textContent = "click the chart to zoom with the wheel";
    this.#hint.hidden = true;
    root.append(this.#hint);
    root.addEventListener("pointerdown", this.#pressed);
    root.addEventListener("focusin", this.#changed);
    root.addEventListener("focusout", this.#changed);
    root.addEventListener("wheel", this.#turned, { passive: true });
    root.addEventListener("keydown", this.#key);
    this.#wheel(false);
  }

  /** Remove the hint that is still shown. */
  remove(): void {
    clearTimeout(this.#hiding);
  }

  #wheel(on: boolean): void {
    this.root.dataset.focus = String(on);
    this.chart.applyOptions({ handleScroll: { mouseWheel: on }, handleScale: { mouseWheel: on } });
    if (on) this.#hint.hidden = true;
  }

  #pressed = (event: PointerEvent): void => {
    if ((event.target as Element).closest("button, a") === null) {
      this.root.focus({ preventScroll: true });
    }
  };

  #changed = (event: FocusEvent): void => {
    const within = event.type === "focusin" || this.root.contains(event.relatedTarget as Node);
    this.#wheel(within);
  };

  #turned = (): void => {
    if (this.root.dataset.focus === "true" || hints >= HINTS || !this.#hint.hidden) return;
    hints += 1;
    this.#hint.hidden = false;
    this.#hiding = setTimeout(() => {
      this.#hint.hidden = true;
    }, HINT);
  };

  #key = (event: KeyboardEvent): void => {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const step = range === null ? 0 : (range.to - range.from) * STEP;
    const { barSpacing } = scale.options();
    const moves: Record<string, () => void> = {
      ArrowLeft: () => scale.scrollToPosition(scale.scrollPosition() - step, false),
      ArrowRight: () => scale.scrollToPosition(scale.scrollPosition() + step, false),
      "+": () => scale.applyOptions({ barSpacing: barSpacing * ZOOM }),
      "-": () => scale.applyOptions({ barSpacing: barSpacing / ZOOM }),
      End: () => scale.scrollToRealTime(),
      Escape: () => this.root.blur(),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  };
}
