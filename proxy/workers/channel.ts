// Calls between two threads over their message port: some are answered, some only told. Messages arrive in the order they were sent.

/** One end of a port; a Worker is one, and so is the global of a worker. */
export interface Port {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => unknown) | null;
}

type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;
type Answer<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;

/** The half of a channel that only tells. */
export interface Teller<Theirs extends Methods> {
  tell<M extends keyof Theirs & string>(method: M, ...args: Arguments<Theirs[M]>): void;
}

type Message =
  | { readonly kind: "call"; readonly id: number; readonly method: string; readonly args: never[] }
  | { readonly kind: "tell"; readonly method: string; readonly args: never[] }
  | { readonly kind: "value"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly message: string };

type Waiting = { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void };

/** `Theirs`: what the other end does; `Ours`: what it may ask of this one. Values must be structured-cloneable. */
export class Channel<Theirs extends Methods, Ours extends Methods> implements Teller<Theirs> {
  readonly #port: Port;
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;
  #closed: Error | null = null;

  constructor(port: Port, ours: Ours) {
    this.#port = port;
    port.onmessage = ({ data }) => this.#receive(data as Message, ours);
  }

  /** Rejects with the other end's error, or when the channel is closed. */
  call<M extends keyof Theirs & string>(method: M, ...args: Arguments<Theirs[M]>): Promise<Answer<Theirs[M]>> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(this.#closed);
        return;
      }
      const id = ++this.#id;
      this.#waiting.set(id, { resolve, reject });
      this.#post({ kind: "call", id, method, args });
    });
  }

  /** No answer is awaited. */
  tell<M extends keyof Theirs & string>(method: M, ...args: Arguments<Theirs[M]>): void {
    if (this.#closed === null) this.#post({ kind: "tell", method, args });
  }

  /** The other end is gone: whoever waits for it gets the error. */
  close(error: Error): void {
    this.#closed = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #post(message: Message): void {
    this.#port.postMessage(message);
  }

  #receive(message: Message, ours: Ours): void {
    switch (message.kind) {
      case "tell":
        ours[message.method]?.(...message.args);
        return;
      case "call":
        this.#answer(message.id, () => ours[message.method]?.(...message.args));
        return;
      case "value":
      case "error": {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.kind === "value") waiting?.resolve(message.value as never);
        else waiting?.reject(new Error(message.message));
        return;
      }
      default:
        message satisfies never;
    }
  }

  #answer(id: number, run: () => unknown): void {
    Promise.resolve()
      .then(run)
      .then(
        (value) => this.#post({ kind: "value", id, value }),
        (error: unknown) => this.#post({ kind: "error", id, message: error instanceof Error ? error.message : String(error) }),
      );
  }
}
