/** The line over a view whose kernel is lost: what happened, and of when the state is. */

import { clock } from "./format";
import type { KernelLink } from "./kernel";

export class GoneLine {
  readonly element = document.createElement("div");

  constructor() {
    this.element.className = "bl-gone";
    this.element.setAttribute("role", "alert");
    this.element.hidden = true;
  }

  /** Show the line if the kernel is lost; `state` says of when the shown state is. */
  update(kernel: KernelLink, state: string): void {
    this.element.hidden = kernel.life === "live";
    const at = clock(kernel.since);
    const what =
      kernel.life === "gone"
        ? `This kernel is gone: ${kernel.cause} at ${at} UTC. Run the cells again.`
        : `No connection to the kernel since ${at} UTC.`;
    this.element.textContent = kernel.life === "live" ? "" : `${what} Shown is ${state}.`;
  }
}
