// voting-svc: counts votes, over gRPC. Environment: GRPC_PORT (8080), PROM_PORT (8801), FAILURE_RATE (0..1, of doughnut votes;
// default 1: the fault that the sample is known for), ARTIFICIAL_DELAY (milliseconds before each vote is counted; default 0).
import { Code, ConnectError } from "@connectrpc/connect";
import { emojis } from "./emojis.ts";
import { VotingService } from "./gen/voting_pb.ts";
import { farewell, port, serveGrpc, serveMetrics } from "./serve.ts";

export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number> {
  const failureRate = Number(env["FAILURE_RATE"] ?? 1);
  if (!(failureRate >= 0 && failureRate <= 1)) throw new Error(`FAILURE_RATE: "${env["FAILURE_RATE"]}" is not between 0 and 1`);
  const delayMs = Number(env["ARTIFICIAL_DELAY"] ?? 0);
  if (!(delayMs >= 0)) throw new Error(`ARTIFICIAL_DELAY: "${env["ARTIFICIAL_DELAY"]}" is not a number of milliseconds`);
  const votes = new Map<string, number>();

  const vote = async (shortcode: string) => {
    if (delayMs) await Bun.sleep(delayMs);
    if (shortcode === ":doughnut:" && Math.random() < failureRate) throw new ConnectError("ERROR", Code.Unknown);
    votes.set(shortcode, (votes.get(shortcode) ?? 0) + 1);
    return {};
  };
  const closeMetrics = await serveMetrics(port(env, "PROM_PORT", 8801), () =>
    ["# HELP emojivoto_votes_total Votes counted.", "# TYPE emojivoto_votes_total counter"]
      .concat([...votes].map(([shortcode, n]) => `emojivoto_votes_total{emoji="${shortcode}"} ${n}`))
      .join("\n")
      .concat("\n"),
  );
  const close = await serveGrpc(port(env, "GRPC_PORT", 8080), (router) => {
    router.rpc(VotingService.method.results, () => ({
      results: [...votes].sort((a, b) => b[1] - a[1]).map(([Shortcode, Votes]) => ({ Shortcode, Votes })),
    }));
    for (const emoji of emojis) {
      const method = VotingService.methods.find((m) => m.name === emoji.rpc);
      if (method?.methodKind !== "unary") throw new Error(`voting.proto has no rpc ${emoji.rpc}`);
      router.rpc(method as typeof VotingService.method.votePoop, () => vote(emoji.shortcode));
    }
  });
  console.log(`voting-svc: doughnut votes fail at a rate of ${failureRate}`);
  await farewell();
  closeMetrics();
  await close();
  return 0;
}
