// Contract of retries: the budget of a service profile and the buffer that makes a body repeatable.
export { type BudgetOptions, RetryBudget } from "./budget.ts";
export { MAX_REPLAY_BYTES, ReplayBuffer, type Sink } from "./replay.ts";
