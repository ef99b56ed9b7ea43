// Values computed from watched objects, kept up to date: a cell is recomputed when something it has read has changed.
//
//   objects → touch(dependency) → dirty cells → flush (once per turn) → changed values → listeners
//
// Pure: when to flush is handed in. A cell holds only its newest value, so a slow listener never piles up updates.

/** What a computation has read, e.g. `pod/app/web-0`. */
export type Dependency = string;

export type Track = (dependency: Dependency) => void;

export interface Cell<T> {
  /** The newest value; the same object until it changes. */
  readonly value: T;
  /** Called after the value changed. Returns the way to end it. */
  onChange(listener: () => void): () => void;
  /** Each `watch` is paired with one release; the last one forgets the cell. */
  release(): void;
}

export type CellSpec<T> = {
  /** Cells of equal keys are one. */
  readonly key: string;
  readonly compute: (track: Track, previous: T | undefined) => T;
  readonly equals: (a: T, b: T) => boolean;
};

export class LiveIndex {
  readonly #cells = new Map<string, CellState<unknown>>();
  readonly #readers = new Map<Dependency, Set<CellState<unknown>>>();
  readonly #dirty = new Set<CellState<unknown>>();
  readonly #schedule: (flush: () => void) => void;
  readonly #onError: (error: unknown, key: string) => void;
  #scheduled = false;

  /** `schedule` runs its argument soon, after the changes of this turn (`setImmediate`); tests run it at once. `onError`: a computation threw; the cell keeps its value. */
  constructor({ schedule, onError }: { schedule: (flush: () => void) => void; onError: (error: unknown, key: string) => void }) {
    this.#schedule = schedule;
    this.#onError = onError;
  }

  /** The number of cells in use. */
  get size(): number {
    return this.#cells.size;
  }

  /** Dependencies that some cell has read; for tests that nothing is left behind. */
  get dependencies(): number {
    return this.#readers.size;
  }

  touch(dependency: Dependency): void {
    const readers = this.#readers.get(dependency);
    if (!readers) return;
    for (const cell of readers) this.#dirty.add(cell);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** @throws what the first computation throws. */
  watch<T>(spec: CellSpec<T>): Cell<T> {
    let cell = this.#cells.get(spec.key) as CellState<T> | undefined;
    if (!cell) {
      const made: CellState<T> = { spec, value: undefined as T, dependencies: new Set(), listeners: new Set(), users: 0 };
      try {
        this.#compute(made, undefined);
      } catch (error) {
        this.#forget(made as CellState<unknown>, new Set());
        throw error;
      }
      cell = made;
      this.#cells.set(spec.key, cell as CellState<unknown>);
    } else if (this.#dirty.delete(cell as CellState<unknown>)) {
      // Whoever comes between a change and the flush must see the change.
      this.#update(cell as CellState<unknown>);
    }
    const state = cell;
    state.users++;
    let released = false;
    return {
      get value() {
        return state.value;
      },
      onChange: (listener) => {
        state.listeners.add(listener);
        return () => state.listeners.delete(listener);
      },
      release: () => {
        if (released) return;
        released = true;
        if (--state.users > 0) return;
        this.#cells.delete(state.spec.key);
        this.#dirty.delete(state as CellState<unknown>);
        this.#forget(state as CellState<unknown>, new Set());
      },
    };
  }

  #flush(): void {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const cell of dirty) if (cell.users > 0) this.#update(cell);
  }

  #update(cell: CellState<unknown>): void {
    const before = cell.value;
    try {
      this.#compute(cell, before);
      if (cell.spec.equals(before, cell.value)) {
        cell.value = before;
        return;
      }
    } catch (error) {
      // One value that cannot be computed holds up no other.
      cell.value = before;
      this.#onError(error, cell.spec.key);
      return;
    }
    for (const listener of [...cell.listeners]) listener();
  }

  #compute<T>(cell: CellState<T>, previous: T | undefined): void {
    const read = new Set<Dependency>();
    try {
      cell.value = cell.spec.compute((dependency) => read.add(dependency), previous);
    } finally {
      // Also after an exception: what it has read may bring it back.
      const state = cell as CellState<unknown>;
      for (const dependency of read) {
        const readers = this.#readers.get(dependency);
        if (readers) readers.add(state);
        else this.#readers.set(dependency, new Set([state]));
      }
      this.#forget(state, read);
    }
  }

  /** Ends the reading of everything but `keep`. */
  #forget(cell: CellState<unknown>, keep: Set<Dependency>): void {
    for (const dependency of cell.dependencies) {
      if (keep.has(dependency)) continue;
      const readers = this.#readers.get(dependency);
      readers?.delete(cell);
      if (readers?.size === 0) this.#readers.delete(dependency);
    }
    cell.dependencies = keep;
  }
}

type CellState<T> = {
  readonly spec: CellSpec<T>;
  value: T;
  dependencies: Set<Dependency>;
  readonly listeners: Set<() => void>;
  users: number;
};

/**
 * The values of a cell one after another: the present one, then the newest after each change. Ends when `signal` aborts.
 * Between two turns of the consumer only the newest value is kept, however many there were.
 */
export async function* follow<T>(cell: Cell<T>, signal: AbortSignal): AsyncGenerator<T, void, void> {
  let wake: (() => void) | undefined;
  let changed = true;
  const notify = () => {
    changed = true;
    wake?.();
  };
  const end = cell.onChange(notify);
  signal.addEventListener("abort", notify, { once: true });
  try {
    while (!signal.aborted) {
      if (!changed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
        continue;
      }
      changed = false;
      yield cell.value;
    }
  } finally {
    end();
    signal.removeEventListener("abort", notify);
    cell.release();
  }
}
