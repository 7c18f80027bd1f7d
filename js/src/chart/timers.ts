/** Delayed work by name: requested many times, done once. */

export class Timers {
  #running = new Map<string, ReturnType<typeof setTimeout>>();
  #stopped = false;

  /** Do `work` in `ms`, unless work of that name is scheduled already. */
  once(name: string, ms: number, work: () => void): void {
    if (this.#stopped || this.#running.has(name)) return;
    const run = () => {
      this.#running.delete(name);
      work();
    };
    this.#running.set(name, setTimeout(run, ms));
  }

  cancel(name: string): void {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  /** Cancel all scheduled work, and schedule nothing from now on. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#running.values()) clearTimeout(timer);
    this.#running.clear();
  }
}
