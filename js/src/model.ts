/** The part of anywidget's model that a page uses. */

import type { KernelConnection } from "./kernel";

export interface Model {
  /** In JupyterLab it has the connection to the kernel. */
  readonly widget_manager?: { readonly kernel?: KernelConnection | null };
  get(name: string): unknown;
  /** Set a value of the model; it stays in the page unless changes are saved. */
  set(name: string, value: unknown): void;
  on(event: string, callback: (...parts: never[]) => void): void;
  off(event: string, callback: (...parts: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

export interface InitializeProps {
  model: Model;
}

export interface RenderProps {
  model: Model;
  el: HTMLElement;
}
