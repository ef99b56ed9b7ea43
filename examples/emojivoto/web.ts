// web-svc: the page people vote on, and its JSON API in front of emoji-svc and voting-svc.
// Environment: WEB_PORT (8080), EMOJISVC_HOST, VOTINGSVC_HOST (host:port), MESSAGE_OF_THE_DAY.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { emojis } from "./emojis.ts";
import { EmojiService } from "./gen/emoji_pb.ts";
import { VotingService } from "./gen/voting_pb.ts";
import { page } from "./page.ts";
import { farewell, port } from "./serve.ts";

const rpcOf = new Map(emojis.map((emoji) => [emoji.shortcode, `${emoji.rpc[0]!.toLowerCase()}${emoji.rpc.slice(1)}`]));

export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number> {
  const transport = (name: string) => {
    const host = env[name];
    if (!host) throw new Error(`${name} is not set (host:port)`);
    return createGrpcTransport({ baseUrl: `http://${host}`, defaultTimeoutMs: 10_000 });
  };
  const emoji = createClient(EmojiService, transport("EMOJISVC_HOST"));
  const voting = createClient(VotingService, transport("VOTINGSVC_HOST"));
  const server = createServer((request, response) => {
    answer(request, response, emoji, voting, env["MESSAGE_OF_THE_DAY"] ?? "").catch((error: unknown) =>
      json(response, 500, { error: ConnectError.from(error).message }),
    );
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port(env, "WEB_PORT", 8080), "0.0.0.0", resolve));
  console.log("web-svc is listening");
  await farewell();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  return 0;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  emoji: Client<typeof EmojiService>,
  voting: Client<typeof VotingService>,
  message: string,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://web");
  switch (url.pathname) {
    case "/":
    case "/leaderboard":
    case "/vote":
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page(message));
      return;
    case "/api/list": {
      const { list } = await emoji.listAll({});
      return json(
        response,
        200,
        list.map(({ shortcode, unicode }) => ({ shortcode, unicode })),
      );
    }
    case "/api/vote": {
      const choice = url.searchParams.get("choice");
      if (!choice) return json(response, 400, { error: "the query parameter `choice` is missing" });
      const rpc = rpcOf.get(choice) as "votePoop" | undefined;
      const found = rpc && (await emoji.findByShortcode({ Shortcode: choice }));
      if (!rpc || !found?.emoji) return json(response, 400, { error: `choice: there is no emoji "${choice}"` });
      await voting[rpc]({});
      return json(response, 200, {});
    }
    case "/api/leaderboard": {
      const { results } = await voting.results({});
      const rows = await Promise.all(
        results.map(async ({ Shortcode, Votes }) => {
          const found = await emoji.findByShortcode({ Shortcode });
          return { shortcode: Shortcode, unicode: found.emoji?.unicode ?? "", votes: Votes };
        }),
      );
      return json(response, 200, rows);
    }
    default:
      response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
