// What stands between a decoded object and the store: mutating steps, then validating ones. The order is the list in {@link createAdmission}.
import type { User } from "../auth/user.ts";
import type { ApiObject } from "../kinds/resource.ts";
import type { Served } from "../registry.ts";

export type Operation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

export interface AdmissionRequest {
  operation: Operation;
  served: Served;
  subresource: string;
  namespace: string;
  name: string;
  /** In the version of the request. Undefined when deleting. Mutating steps may change it or put another in its place. */
  object: ApiObject | undefined;
  /** In the version of the request. Undefined when creating. */
  oldObject: ApiObject | undefined;
  /** CreateOptions, UpdateOptions, DeleteOptions as sent. */
  options: Record<string, unknown>;
  user: User;
  dryRun: boolean;
  warn(message: string): void;
}

/** @throws {ApiError} to refuse. */
export type AdmissionStep = (request: AdmissionRequest) => void | Promise<void>;

export interface Admission {
  mutating: AdmissionStep[];
  validating: AdmissionStep[];
}

export async function run(steps: readonly AdmissionStep[], request: AdmissionRequest): Promise<void> {
  for (const step of steps) {
    const done = step(request);
    if (done) await done;
  }
}
