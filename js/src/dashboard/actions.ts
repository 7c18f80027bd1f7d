/** Requests to the kernel, and their progress. */

import type { Action, ActMessage, AskMessage, RequestId } from "./schema";

/**
 * `sent`: just now; `waiting`: the kernel is busy with a cell; `working`: it has started; `silent`:
 * it had started, and does not answer any more.
 */
export type Stage = "sent" | "waiting" | "working" | "silent";

export interface ActionRequest {
  readonly id: RequestId;
  readonly action: Action;
  readonly target: string;
  stage: Stage;
}

export interface Outcome {
  readonly request: ActionRequest;
  readonly ok: boolean;
  readonly text: string;
}

export interface Clock {
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** Milliseconds without an answer after which the kernel counts as busy with a cell. */
export const PATIENCE = 500;
/** Milliseconds of work after which the kernel is asked whether the answer was lost. */
export const DEADLINE = 8000;
/** Milliseconds that its reply to this question may take. */
export const GRACE = 3000;

/** The outcome of a request whose kernel was lost. */
export const LOST =
  "The kernel was lost before it answered: whether this was carried out is not known.";

export class Actions {
  #requests = new Map<RequestId, ActionRequest>();
  #timers = new Map<RequestId, unknown>();
  #next = 1;
  #open = true;

  constructor(
    private readonly send: (message: ActMessage | AskMessage) => void,
    private readonly changed: () => void,
    private readonly settled: (outcome: Outcome) => void,
    private readonly clock: Clock = globalThis as unknown as Clock,
    // Every view of a model receives every answer, so that ids are unique per view.
    private readonly view: string = Math.random().toString(36).slice(2, 10),
  ) {}

  /**
   * Request an action, unless the same is in progress; return whether it was sent. A request that
   * waits or is not answered is sent again with its own id, since a message may have been lost: the
   * kernel carries it out once, and repeats its outcome for every message.
   */
  ask(action: Action, target: string): boolean {
    if (!this.#open) return false;
    const known = this.#find(action, target);
    if (known?.stage === "sent" || known?.stage === "working") return false;
    const request: ActionRequest = known ?? {
      id: `${this.view}-${this.#next++}`,
      action,
      target,
      stage: "sent",
    };
    this.#requests.set(request.id, request);
    if (known === undefined) this.#later(request, PATIENCE, () => this.#move(request, "waiting"));
    this.send({ type: "act", id: request.id, action, target });
    this.changed();
    return true;
  }

  /** Handle the message that the kernel has started, or is still working. */
  taken(id: RequestId): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#later(request, DEADLINE, () => this.#inquire(request));
    this.#move(request, "working");
  }

  /** Handle an outcome; those for requests of other views are ignored. */
  done(id: RequestId, ok: boolean, text: string): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#stopTimer(request.id);
    this.#requests.delete(request.id);
    this.settled({ request, ok, text });
    this.changed();
  }

  /** Return the stage of an action on a target; undefined if none is in progress. */
  stage(action: Action, target: string): Stage | undefined {
    return this.#find(action, target)?.stage;
  }

  /** Return whether any request is in a stage. */
  any(stage: Stage): boolean {
    return [...this.#requests.values()].some((request) => request.stage === stage);
  }

  /** Whether requests can be sent, which they cannot while the kernel is lost. */
  get open(): boolean {
    return this.#open;
  }

  /** Accept requests again, or settle those in progress as lost and refuse further ones. */
  set open(now: boolean) {
    if (now === this.#open) return;
    this.#open = now;
    if (!now) for (const { id } of [...this.#requests.values()]) this.done(id, false, LOST);
    this.changed();
  }

  /** Drop all requests, as the view is removed. */
  close(): void {
    for (const id of [...this.#timers.keys()]) this.#stopTimer(id);
    this.#requests.clear();
  }

  #find(action: Action, target: string): ActionRequest | undefined {
    for (const request of this.#requests.values()) {
      if (request.action === action && request.target === target) return request;
    }
    return undefined;
  }

  #inquire(request: ActionRequest): void {
    this.#later(request, GRACE, () => this.#move(request, "silent"));
    this.send({ type: "ask", id: request.id });
  }

  #move(request: ActionRequest, stage: Stage): void {
    request.stage = stage;
    this.changed();
  }

  #later(request: ActionRequest, milliseconds: number, callback: () => void): void {
    this.#stopTimer(request.id);
    const timer = this.clock.setTimeout(() => {
      this.#timers.delete(request.id);
      callback();
    }, milliseconds);
    this.#timers.set(request.id, timer);
  }

  #stopTimer(id: RequestId): void {
    const timer = this.#timers.get(id);
    if (timer !== undefined) this.clock.clearTimeout(timer);
    this.#timers.delete(id);
  }
}
