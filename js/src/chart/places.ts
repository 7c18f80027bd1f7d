/** Where readers were in views that make way for others. */

import type { Model } from "../model";

const KEY = "_places";

/** What a reader saw: the width of a candle in pixels, and how far from the newest one. */
export interface Place {
  barSpacing: number;
  position: number;
}

/**
 * The places that the views of one model left, by where each view is shown: two views of a chart
 * may make way at once, and each reader is to find the own place again.
 */
export class Places {
  readonly #left = new Map<unknown, Place[]>();

  /** Return the places of a model; they stay in the page. */
  static of(model: Model): Places {
    const found = model.get(KEY) as Places | undefined;
    if (found) return found;
    const made = new Places();
    model.set(KEY, made);
    return made;
  }

  /** Leave a place for the next view that is shown there. */
  leave(home: unknown, place: Place): void {
    this.#left.set(home, [...(this.#left.get(home) ?? []), place]);
  }

  /** Take the place that was left there first, if any was. */
  take(home: unknown): Place | undefined {
    const place = this.#left.get(home)?.[0];
    if (place) this.forget(home, place);
    return place;
  }

  /** Tell whether nobody has taken a place yet. */
  holds(home: unknown, place: Place): boolean {
    return this.#left.get(home)?.includes(place) ?? false;
  }

  /** Keep a place no longer. */
  forget(home: unknown, place: Place): void {
    const rest = (this.#left.get(home) ?? []).filter((one) => one !== place);
    if (rest.length > 0) this.#left.set(home, rest);
    else this.#left.delete(home);
  }
}

/** Return where a view is shown: what stays on the page while outputs of a cell come and go. */
export function homeOf(root: Element): Element | null {
  return root.closest(".jp-OutputArea");
}
