/** The part of anywidget's model that a page uses. */

export interface Model {
  get(name: string): unknown;
  /** Set a value of the model; it stays in the page unless changes are saved. */
  set(name: string, value: unknown): void;
  on(event: string, callback: (...parts: never[]) => void): void;
  off(event: string, callback: (...parts: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

export interface RenderProps {
  model: Model;
  el: HTMLElement;
}
