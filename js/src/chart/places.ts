/** The scroll positions of views that are replaced by others. */

import type { Model } from "../model";

const KEY = "_places";

/** A scroll position: the width of a candle in pixels, and the distance from the newest one. */
export interface Place {
  barSpacing: number;
  position: number;
}

/**
 * The positions that the views of one model left, by the element in which each view is shown: two
 * views of a chart may be replaced at once, and each successor takes over its own position.
 */
export class Places {
  readonly #left = new Map<unknown, Place[]>();

  /** Return the positions of a model, which stay in the page. */
  static of(model: Model): Places {
    const found = model.get(KEY) as Places | undefined;
    if (found) return found;
    const made = new Places();
    model.set(KEY, made);
    return made;
  }

  /** Store a position for the next view in an element. */
  leave(home: unknown, place: Place): void {
    this.#left.set(home, [...(this.#left.get(home) ?? []), place]);
  }

  /** Return and remove the first position stored for an element, if there is one. */
  take(home: unknown): Place | undefined {
    const place = this.#left.get(home)?.[0];
    if (place) this.forget(home, place);
    return place;
  }

  /** Return whether a position has not been taken yet. */
  holds(home: unknown, place: Place): boolean {
    return this.#left.get(home)?.includes(place) ?? false;
  }

  /** Remove a position. */
  forget(home: unknown, place: Place): void {
    const rest = (this.#left.get(home) ?? []).filter((one) => one !== place);
    if (rest.length > 0) this.#left.set(home, rest);
    else this.#left.delete(home);
  }
}

/** Return the element of a view that stays in the page while the outputs of a cell change. */
export function homeOf(root: Element): Element | null {
  return root.closest(".jp-OutputArea");
}
