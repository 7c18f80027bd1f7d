/** The line above the panes: title, market, timeframes, and the buttons of the view. */

import type { Spec } from "./protocol";

const SVG = "http://www.w3.org/2000/svg";

/** What the buttons do. */
export interface BarActions {
  timeframe(name: string): void;
  logarithmic(on: boolean): void;
  fullScreen(): void;
}

export class Bar {
  readonly element = part("div", "bl-bar");
  readonly #title = part("span", "bl-title");
  readonly #kind = part("span", "bl-kind");
  readonly #source = part("span", "bl-badge");
  readonly #frames = part("span", "bl-frames");
  readonly #log = button("log", "Logarithmic prices");
  readonly #full = button("", "Full screen");

  constructor(private readonly actions: BarActions) {
    this.#log.dataset.action = "log";
    this.#full.dataset.action = "full-screen";
    this.#full.append(corners());
    this.#full.hidden = !document.fullscreenEnabled;
    this.logarithmic = false;
    this.#log.addEventListener("click", () => {
      actions.logarithmic(this.#log.getAttribute("aria-pressed") !== "true");
    });
    this.#full.addEventListener("click", () => actions.fullScreen());
    const space = part("span", "bl-space");
    this.element.append(this.#title, this.#frames, this.#kind, this.#source, space);
    this.element.append(this.#log, this.#full);
  }

  show(spec: Spec): void {
    this.#title.textContent = spec.title || spec.symbol;
    this.#kind.className = `bl-kind bl-${spec.kind}`;
    this.#kind.textContent = spec.kind.toUpperCase();
    this.#kind.title = `${spec.words} (${spec.venue})`;
    this.#kind.hidden = spec.kind === "";
    this.#source.textContent = spec.kind === "" ? spec.venue : spec.words;
    this.#source.hidden = this.#source.textContent === "";
    this.#timeframes(spec);
  }

  set logarithmic(on: boolean) {
    this.#log.setAttribute("aria-pressed", String(on));
  }

  set full(on: boolean) {
    this.#full.setAttribute("aria-pressed", String(on));
  }

  /** Whether the buttons act; those of a kernel that is gone do not. */
  set open(now: boolean) {
    for (const one of this.element.querySelectorAll("button")) one.disabled = !now;
  }

  /** The timeframe that was asked for, until it is shown; empty if none was. */
  set asked(name: string) {
    for (const one of this.#frames.querySelectorAll<HTMLElement>("button")) {
      one.classList.toggle("bl-asked", one.dataset.timeframe === name);
    }
  }

  #timeframes(spec: Spec): void {
    if (spec.timeframes.length < 2) {
      const word = part("span", "bl-muted", spec.timeframe);
      word.hidden = this.#title.textContent?.includes(spec.timeframe) ?? false;
      this.#frames.replaceChildren(word);
      return;
    }
    this.#frames.replaceChildren(
      ...spec.timeframes.map((name) => {
        const one = button(name, `Candles of ${name}`);
        one.dataset.timeframe = name;
        one.setAttribute("aria-pressed", String(name === spec.timeframe));
        one.addEventListener("click", () => this.actions.timeframe(name));
        return one;
      }),
    );
  }
}

/** Return the picture of four corners, which no font has to have. */
function corners(): SVGElement {
  const image = document.createElementNS(SVG, "svg");
  image.setAttribute("viewBox", "0 0 12 12");
  image.setAttribute("class", "bl-icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M1 4V1h3M8 1h3v3M11 8v3H8M4 11H1V8");
  image.append(path);
  return image;
}

function part(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function button(text: string, title: string): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "bl-tool";
  element.textContent = text;
  element.title = title;
  return element;
}
