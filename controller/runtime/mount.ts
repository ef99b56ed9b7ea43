// Tells when files of a mounted secret or config map have changed. The kubelet replaces the link `..data`; others write the files.
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";

/** Changes that come together are told once, after this pause. */
const settleMs = 50;
/** Beside the notice of the system, files are looked at so often: a mount may not tell of its changes. */
const pollMs = 30_000;

/** Calls `changed` after something in the folders of `files` has changed, and every half minute. Returns the way to end it. */
export function watchMount(files: readonly string[], changed: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const notice = () => {
    clearTimeout(timer);
    timer = setTimeout(changed, settleMs);
  };
  const watchers: FSWatcher[] = [];
  for (const folder of new Set(files.map((file) => dirname(file)))) {
    try {
      const watcher = watch(folder, notice);
      watcher.on("error", () => {});
      watchers.push(watcher);
    } catch {
      // The folder is not there yet; looking every half minute must do.
    }
  }
  const poll = setInterval(changed, pollMs);
  return () => {
    clearTimeout(timer);
    clearInterval(poll);
    for (const watcher of watchers) watcher.close();
  };
}
