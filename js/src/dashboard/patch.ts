/** Elements that change often: written only if they differ, since a write costs a layout. */

/** Number of writes to the page, for tests and measurements. */
export const writes = { count: 0 };

export class Cell {
  #text = "";
  #class = "";
  #title = "";

  constructor(readonly element: HTMLElement) {}

  /** Show a text; `tone` is a class in addition to the element's own. */
  write(text: string, tone = "", title = ""): void {
    if (text !== this.#text) {
      this.#text = text;
      this.#put(text);
      writes.count += 1;
    }
    if (tone !== this.#class) {
      if (this.#class !== "") this.element.classList.remove(...this.#class.split(" "));
      if (tone !== "") this.element.classList.add(...tone.split(" "));
      this.#class = tone;
      writes.count += 1;
    }
    if (title !== this.#title) {
      this.#title = title;
      this.element.title = title;
      writes.count += 1;
    }
  }

  #put(text: string): void {
    // Changing a text node costs less than replacing it.
    const node = this.element.firstChild;
    if (node?.nodeType === 3 && text !== "") node.nodeValue = text;
    else this.element.textContent = text;
  }
}

/** Return the CSS class of a gain or a loss. */
export function gainClass(value: number | null | undefined): string {
  if (typeof value !== "number" || value === 0) return "";
  return value > 0 ? "bl-up" : "bl-down";
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/** Show or hide an element. */
export function toggle(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Reorder the children of `parent`, moving only those out of place. */
export function reorder(parent: HTMLElement, wanted: readonly HTMLElement[]): void {
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(element, at);
      writes.count += 1;
    }
  }
}
