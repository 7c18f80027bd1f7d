/** The pictures beside the live views of a model: hidden while the page has a view. */

import type { Model } from "./model";

/** Hide the pictures of a model; the returned function shows them again. */
export function hideStills(model: Model, page: Document): () => void {
  const name = model.get("still");
  if (typeof name !== "string" || !/^[\w-]+$/.test(name)) return () => {};
  // A rule instead of a change of the elements, since they are replaced with every new picture.
  const style = page.createElement("style");
  style.textContent = `.${name}, .jp-OutputArea-child:has(.${name}) { display: none; }`;
  page.head.append(style);
  return () => style.remove();
}
