/** What a page needs of the widget model that anywidget hands to `render`. */

export interface Model {
  get(name: string): unknown;
  /** Keep a value with the model; it stays in the page unless changes are saved. */
  set(name: string, value: unknown): void;
  on(event: string, callback: (...parts: never[]) => void): void;
  off(event: string, callback: (...parts: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

export interface RenderProps {
  model: Model;
  el: HTMLElement;
}
