/** What a page needs of the widget model that anywidget hands to `render`. */

export interface Model {
  get(name: string): unknown;
  on(event: string, callback: (...parts: never[]) => void): void;
  off(event: string, callback: (...parts: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

export interface RenderProps {
  model: Model;
  el: HTMLElement;
}
