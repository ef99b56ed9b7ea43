// The sample's one executable: the first argument names the program.
const programs = {
  "emojivoto-emoji-svc": () => import("./emoji.ts"),
  "emojivoto-voting-svc": () => import("./voting.ts"),
  "emojivoto-web": () => import("./web.ts"),
  "emojivoto-vote-bot": () => import("./vote-bot.ts"),
  "emojivoto-load": () => import("./load.ts"),
  "emojivoto-probe": () => import("./probe.ts"),
} as const;

const [name = "", ...args] = process.argv.slice(2);
if (!Object.hasOwn(programs, name)) {
  console.error(`usage: emojivoto ${Object.keys(programs).join(" | ")}`);
  process.exit(2);
}
const { main } = await programs[name as keyof typeof programs]();
process.exit(await main(args, process.env));
