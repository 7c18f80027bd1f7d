/** The card of the markers that are pointed at: what was traded, why, and what came of it. */

import { moment } from "../format";
import type { Palette } from "../theme";
import { type Group, markColour } from "./markers";

/** Most markers of a group that a card describes. */
const MOST = 4;
const AWAY = 14; // pixels from the pointer

export class Card {
  readonly element = document.createElement("div");
  #group: Group | undefined;

  constructor() {
    this.element.className = "bl-card";
    this.element.hidden = true;
    this.element.setAttribute("role", "tooltip");
  }

  /** Show the markers of a group beside a point of the view, or nothing. */
  show(group: Group | undefined, x: number, y: number, palette: Palette): void {
    if (group === undefined) {
      this.#group = undefined;
      this.element.hidden = true;
      return;
    }
    if (group !== this.#group) {
      this.#group = group;
      const { markers } = group;
      const parts = markers.slice(0, MOST).map((one) => described(one, palette));
      const more = markers.length - parts.length;
      if (more > 0) parts.push(part("div", "bl-muted", `and ${more} more: zoom in`));
      this.element.replaceChildren(...parts);
    }
    this.element.hidden = false;
    const { clientWidth, clientHeight } = this.element.parentElement ?? this.element;
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = x + AWAY + width > clientWidth ? x - AWAY - width : x + AWAY;
    const top = Math.min(y + AWAY, clientHeight - height - 4);
    this.element.style.left = `${Math.max(4, Math.round(left))}px`;
    this.element.style.top = `${Math.max(4, Math.round(top))}px`;
  }
}

function described(marker: Group["markers"][number], palette: Palette): HTMLElement {
  const element = part("div", "bl-event");
  const title = part("div", "bl-event-title", marker.kind);
  title.style.color = markColour(palette, marker.kind);
  const at = part("span", "bl-muted", ` ${moment(marker.at ?? marker.time)}`);
  title.append(at);
  element.append(title);
  const facts: [string, string][] = marker.card ?? (marker.text === "" ? [] : [["", marker.text]]);
  for (const [label, value] of facts) {
    const line = part("div", "bl-fact");
    line.append(part("span", "bl-muted", label), part("span", "bl-fact-value", value));
    element.append(line);
  }
  return element;
}

function part(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
