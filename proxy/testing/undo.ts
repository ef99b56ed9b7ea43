// What must not outlive the process that made it: namespaces, processes, folders.

const waiting = new Set<() => void>();
let installed = false;

/** Exit status of a process that a signal ended, as shells have it. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

function undoAll(): void {
  for (const undo of [...waiting].reverse()) undo();
}

/** `undo` is called once: by what is returned, or when this process ends, by itself or by a signal other than SIGKILL. It must not wait. */
export function undoAtExit(undo: () => void): () => void {
  if (!installed) {
    installed = true;
    process.on("exit", undoAll);
    for (const [signal, status] of Object.entries(SIGNALS)) process.on(signal, () => process.exit(status));
  }
  const once = (): void => {
    if (waiting.delete(once)) undo();
  };
  waiting.add(once);
  return once;
}
