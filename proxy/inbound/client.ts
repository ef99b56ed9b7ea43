// One accepted connection as policy sees it: who is asking, for which port, and what the policy of the moment says.
import type { SocketAddr } from "#addr";
import { authorize, type ServerPolicy } from "#policy";
import type { PolicyHandle } from "../contracts.ts";
import type { ServerTls } from "../telemetry.ts";

export type Verdict = {
  /** Of the Server. */
  readonly serverName: string;
  /** Of the ServerAuthorization that allowed it; null = denied. */
  readonly authorizationName: string | null;
};

export class InboundClient {
  /** Where the connection was bound for: the application's address. */
  readonly dst: SocketAddr;
  readonly ip: string;
  readonly tls: ServerTls;
  readonly policy: PolicyHandle;
  #seen: ServerPolicy | null = null;
  #verdict: Verdict | null = null;
  /** What a stack has worked out for the present verdict. */
  memo: unknown = null;

  constructor(init: { dst: SocketAddr; ip: string; tls: ServerTls; policy: PolicyHandle }) {
    this.dst = init.dst;
    this.ip = init.ip;
    this.tls = init.tls;
    this.policy = init.policy;
  }

  /** The mesh identity; null without one. */
  get clientId(): string | null {
    return this.tls.kind === "established" ? this.tls.clientId : null;
  }

  /** What the policy of this moment says; worked out once per policy (spec proxy §8.3). */
  verdict(): Verdict {
    const policy = this.policy.current();
    if (policy !== this.#seen || this.#verdict === null) {
      this.#seen = policy;
      this.memo = null;
      const permit = authorize(policy, { ip: this.ip, tls: this.tls.kind === "established", id: this.clientId });
      this.#verdict = { serverName: policy.name, authorizationName: permit?.name ?? null };
    }
    return this.#verdict;
  }
}
