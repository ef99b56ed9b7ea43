// Mechanisms of the proxy's stacks, knowing neither sockets nor configuration: coarse time, idle caches, fail-fast, backoff.
export { type Backoff, backoffMs } from "./backoff.ts";
export { TurnClock, type TurnEnd } from "./clock.ts";
export { FailFast, type FailFastOptions } from "./fail-fast.ts";
export { Held, IdleCache, type IdleCacheOptions } from "./idle-cache.ts";
export { TICK_MS, Timer, type TimerOwner, TimerWheel, type WheelHost } from "./timers.ts";
