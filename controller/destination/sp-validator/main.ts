// Role `sp-validator`: validates ServiceProfiles on HTTPS 8443, admin 9997 (spec control-plane §4.1).
import { commonFlags, createMetrics, type Env, parseAddress, runRole, serveAdmin, serveWebhook } from "../../runtime/index.ts";
import { admitProfile } from "./validate.ts";

const flags = {
  addr: { default: ":8443", help: "address of the webhook" },
  "metrics-addr": { default: ":9997", help: "address of the admin server" },
  "tls-cert": { default: "/var/run/linkerd/tls/tls.crt", help: "certificate of the webhook" },
  "tls-key": { default: "/var/run/linkerd/tls/tls.key", help: "key of the webhook" },
  ...commonFlags,
} as const;

export function main(args: string[], env: Env): Promise<number> {
  return runRole(
    {
      name: "sp-validator",
      flags,
      async start({ flags, log }) {
        const metrics = createMetrics();
        const webhook = serveWebhook({
          ...parseAddress("addr", flags.addr),
          certFile: flags["tls-cert"],
          keyFile: flags["tls-key"],
          handle: admitProfile,
          log,
          metrics,
        });
        const admin = serveAdmin({ ...parseAddress("metrics-addr", flags["metrics-addr"]), metrics: metrics.registry });
        log.info("sp-validator serves", { webhook: webhook.port, admin: admin.port });
        return async () => {
          await webhook.close();
          await admin.close();
        };
      },
    },
    args,
    env,
  );
}
