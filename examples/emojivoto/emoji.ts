// emoji-svc: the catalogue, over gRPC. Environment: GRPC_PORT (8080), PROM_PORT (8801).
import { Code, ConnectError } from "@connectrpc/connect";
import { emojis } from "./emojis.ts";
import { EmojiService } from "./gen/emoji_pb.ts";
import { farewell, port, serveGrpc, serveMetrics } from "./serve.ts";

export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number> {
  const byShortcode = new Map(emojis.map((emoji) => [emoji.shortcode, emoji]));
  const calls = { ListAll: 0, FindByShortcode: 0 };
  const closeMetrics = await serveMetrics(port(env, "PROM_PORT", 8801), () =>
    ["# HELP emojivoto_emoji_calls_total Calls of the catalogue.", "# TYPE emojivoto_emoji_calls_total counter"]
      .concat(Object.entries(calls).map(([rpc, n]) => `emojivoto_emoji_calls_total{rpc="${rpc}"} ${n}`))
      .join("\n")
      .concat("\n"),
  );
  const close = await serveGrpc(port(env, "GRPC_PORT", 8080), (router) =>
    router.service(EmojiService, {
      listAll: () => {
        calls.ListAll++;
        return { list: emojis.map(({ unicode, shortcode }) => ({ unicode, shortcode })) };
      },
      findByShortcode: ({ Shortcode }) => {
        calls.FindByShortcode++;
        const emoji = byShortcode.get(Shortcode);
        if (!emoji) throw new ConnectError(`no emoji has the shortcode "${Shortcode}"`, Code.NotFound);
        return { emoji: { unicode: emoji.unicode, shortcode: emoji.shortcode } };
      },
    }),
  );
  console.log(`emoji-svc: ${emojis.length} emoji`);
  await farewell();
  closeMetrics();
  await close();
  return 0;
}
