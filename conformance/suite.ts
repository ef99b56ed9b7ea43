// What a conformance suite is: cases that others wrote, run against targets of ours.

export type Outcome = "passed" | "failed" | "skipped";

export type CaseResult = {
  /** Target, as in {@link Target.name}. */
  readonly target: string;
  /** Section and title of the case, as its suite names it. */
  readonly case: string;
  readonly outcome: Outcome;
  /** Why it failed or was skipped; empty when it passed. */
  readonly detail: string;
};

/** Something under test that is running. */
export type Target = {
  /** Stable, such as `engine` or `proxy-inbound`. */
  readonly name: string;
  /** One line for the report. */
  readonly what: string;
  /** Where it listens on 127.0.0.1; 0 for a client. */
  readonly port: number;
  stop(): Promise<void> | void;
};

export type Suite = {
  readonly name: string;
  /** Where it comes from, with its version. */
  readonly source: string;
  /** Fetches and builds what is needed. Rejects with a message that says what is missing. */
  prepare(): Promise<void>;
  /** Targets by name, started one after the other. */
  readonly targets: Readonly<Record<string, () => Promise<Target>>>;
  run(target: Target): Promise<CaseResult[]>;
  /** Known deviations: target, case, and the reason why the target is right all the same. */
  readonly exceptions: readonly Exception[];
  /** More for the result file, in Markdown, once all targets have run. */
  notes?(): Promise<readonly string[]>;
};

export type Exception = { readonly target: string; readonly case: string; readonly reason: string };
