// The cluster's memory: API objects in one SQLite file, a version counter, and a bounded history of changes to watch.

export { cloneJson, equalJson } from "./json.ts";
export {
  type ChangeEvent,
  ConflictError,
  ExistsError,
  type Key,
  NotFoundError,
  Store,
  type StoredObject,
  TooOldError,
  type Watcher,
} from "./store.ts";
