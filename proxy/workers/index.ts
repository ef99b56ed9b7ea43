// The data plane over several threads. Contract of the workers.
export { processConfig } from "./contract.ts";
export { spawnWorker, WorkerPool, type WorkerPoolOptions, type WorkerThread } from "./pool.ts";
