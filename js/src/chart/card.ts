/** The card of the markers that are pointed at: what was traded, why, and what came of it. */

import { clock, moment, stamp } from "../format";
import type { Palette } from "../theme";
import { type Group, markColour } from "./markers";

/** Most markers of a group that a card describes. */
const MOST = 8;
/** What is said of each of several. */
const COLUMNS = ["amount", "price", "why", "result"];
const FIGURES = new Set(["amount", "price", "result"]);
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
      const [first] = markers;
      const parts =
        first !== undefined && markers.length === 1
          ? [described(first, palette)]
          : [listed(markers.slice(0, MOST), palette)];
      const more = markers.length - MOST;
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

function described(marker: Marker, palette: Palette): HTMLElement {
  const element = part("div", "bl-event");
  const title = part("div", "bl-event-title", marker.kind);
  title.style.color = markColour(palette, marker.kind);
  const at = part("span", "bl-muted", ` ${moment(marker.at ?? marker.time)}`);
  title.append(at);
  element.append(title);
  for (const [label, value] of factsOf(marker)) {
    const line = part("div", "bl-fact");
    line.append(part("span", "bl-muted", label), part("span", "bl-fact-value", value));
    element.append(line);
  }
  return element;
}

type Marker = Group["markers"][number];

function factsOf(marker: Marker): [string, string][] {
  return marker.card ?? (marker.text === "" ? [] : [["", marker.text]]);
}

/** Return a table of markers: a line for each, with the facts that any of them has. */
function listed(markers: Marker[], palette: Palette): HTMLElement {
  const facts = markers.map((marker) => new Map(factsOf(marker)));
  const columns = COLUMNS.filter((label) => facts.some((one) => one.has(label)));
  const table = part("table", "bl-events");
  const classOf = (label: string) => (FIGURES.has(label) ? "num" : "");
  const head = part("tr", "");
  head.append(part("th", "", "UTC"), part("th", ""));
  head.append(...columns.map((label) => part("th", classOf(label), label)));
  table.append(head);
  const times = markers.map((marker) => (marker.at ?? marker.time) * 1000);
  const days = new Set(times.map((time) => stamp(time).slice(0, 10)));
  const written = days.size > 1 ? stamp : clock;
  markers.forEach((marker, index) => {
    const row = part("tr", "");
    const kind = part("td", "bl-event-title", marker.kind);
    kind.style.color = markColour(palette, marker.kind);
    row.append(part("td", "", written(times[index] ?? null)), kind);
    row.append(
      ...columns.map((label) => part("td", classOf(label), facts[index]?.get(label) ?? "")),
    );
    table.append(row);
  });
  return table;
}

function part(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
