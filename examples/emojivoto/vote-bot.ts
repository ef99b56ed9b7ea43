// vote-bot: the people of the sample. Environment: WEB_HOST (host:port), HOST_OVERRIDE (Host header), REQUEST_RATE (cycles per second;
// default 1), TTL (seconds to live; default for ever).
import { terminated } from "./serve.ts";

export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number> {
  const host = env["WEB_HOST"];
  if (!host) throw new Error("WEB_HOST is not set (host:port)");
  const rate = Number(env["REQUEST_RATE"] ?? 1);
  if (!(rate > 0)) throw new Error(`REQUEST_RATE: "${env["REQUEST_RATE"]}" is not a positive number`);
  const ttl = env["TTL"] === undefined ? Number.POSITIVE_INFINITY : Number(env["TTL"]);
  if (!(ttl > 0)) throw new Error(`TTL: "${env["TTL"]}" is not a positive number of seconds`);
  const headers = env["HOST_OVERRIDE"] ? { host: env["HOST_OVERRIDE"] } : {};

  let over = false;
  const end = Promise.race([terminated(), ...(Number.isFinite(ttl) ? [Bun.sleep(ttl * 1000)] : [])]).then(() => {
    over = true;
  });
  const get = async (path: string) => {
    const response = await fetch(`http://${host}${path}`, { headers, signal: AbortSignal.timeout(10_000) });
    const body = (await response.json()) as unknown;
    if (!response.ok) console.log(`GET ${path}: ${response.status} ${JSON.stringify(body)}`);
    return body;
  };
  while (!over) {
    await Promise.race([end, Bun.sleep(1000 / rate)]);
    if (over) break;
    try {
      const list = (await get("/api/list")) as { shortcode: string }[];
      const choice = Math.random() < 0.15 ? ":doughnut:" : list[Math.floor(Math.random() * list.length)]?.shortcode;
      if (choice) await get(`/api/vote?choice=${encodeURIComponent(choice)}`);
    } catch (error) {
      console.log(`vote-bot: ${(error as Error).message}`);
    }
  }
  return 0;
}
